"""Functions of symbolic tensors: what the functional API builds models from."""

from __future__ import annotations

from typing import Any

from graphc.frontend import ops, trees
from graphc.frontend.keras_tensor import KerasTensor, Operation
from graphc.frontend.layers.input_spec import InputSpec
from graphc.frontend.tensor import Tensor
from graphc.frontend.tracing import (
    current_path,
    current_trace,
    here,
    replay,
    tensor,
    value,
)
from graphc.ir.errors import GraphError


class Function:
    """The operations between symbolic inputs and outputs, ready to be called again.

    Args:
        inputs: A nested structure of symbolic tensors.
        outputs: A nested structure of symbolic tensors computed from them.

    Raises:
        ValueError: If an output does not depend on the inputs alone.
    """

    def __init__(self, inputs: Any, outputs: Any) -> None:
        self.inputs_structure = inputs
        self.outputs_structure = outputs
        self.inputs: list[KerasTensor] = _tensors(inputs, "inputs")
        self.outputs: list[KerasTensor] = _tensors(outputs, "outputs")
        self._given = {_key(t): i for i, t in enumerate(self.inputs)}
        self._check_inputs_used()
        self.operations = self._sorted_operations()

    def _check_inputs_used(self) -> None:
        for source in self.inputs:
            if source.operation is None:
                raise ValueError(
                    "The inputs of a functional model must come from graphc.Input()."
                    f" Received: {source!r}"
                )

    def _sorted_operations(self) -> list[Operation]:
        """The operations in an order in which each comes after what it reads."""
        sources = {t.operation for t in self.inputs if t.operation is not None}
        done: dict[Operation, None] = dict.fromkeys(sources)
        stack = list(reversed(self.outputs))
        while stack:
            operation = stack[-1].operation
            if operation in done or operation is None or _key(stack[-1]) in self._given:
                stack.pop()
                continue
            waiting = [
                t
                for t in operation.inputs
                if t.operation not in done and _key(t) not in self._given
            ]
            if not operation.inputs:
                raise ValueError(
                    "Graph disconnected: cannot reach the outputs from the inputs given."
                    f" Received: outputs depend on {stack[-1].name!r}, which is not"
                    " among the inputs."
                )
            if waiting:
                stack.extend(reversed(waiting))
            else:
                done[operation] = None
                stack.pop()
        return [operation for operation in done if operation not in sources]

    def sorted_layers(self) -> list[Any]:
        """What the operations call, by depth from the outputs, as Keras orders layers."""
        order: dict[int, int] = {}
        visit = list(reversed(self.outputs))
        while visit:
            operation = visit.pop().operation
            assert operation is not None
            if id(operation.function) not in order:
                order[id(operation.function)] = len(order)
                visit.extend(reversed(operation.inputs))
        depths: dict[int, int] = {}
        operation_depth: dict[Operation, int] = {}
        functions: dict[int, Any] = {}
        sources = [t.operation for t in self.inputs if t.operation is not None]
        for operation in [*reversed(self.operations), *sources]:
            depth = operation_depth.setdefault(operation, 0)
            function = operation.function
            functions[id(function)] = function
            depth = max(depth, depths.get(id(function), 0))
            depths[id(function)] = depth
            for read in operation.inputs:
                if read.operation is not None:
                    known = operation_depth.get(read.operation, 0)
                    operation_depth[read.operation] = max(known, depth + 1)
        ranked = sorted(functions, key=lambda f: (-depths[f], order.get(f, len(order))))
        return [functions[f] for f in ranked]

    def __call__(self, inputs: Any) -> Any:
        """Calls the operations on tensors in place of the symbolic inputs."""
        values: dict[tuple[int, int], Any] = {}
        for symbolic, given in zip(self.inputs, self.conform(inputs), strict=True):
            values[_key(symbolic)] = given
        for operation in self.operations:
            outputs = replay(
                operation.location, operation.replay, lambda t: values[_key(t)]
            )
            symbolic_leaves = trees.leaves(operation.outputs)
            for symbolic, made in zip(
                symbolic_leaves, trees.leaves(outputs), strict=True
            ):
                if isinstance(symbolic, KerasTensor):
                    values[_key(symbolic)] = made
        return trees.map_leaves(
            lambda t: values[_key(t)] if isinstance(t, KerasTensor) else t,
            self.outputs_structure,
        )

    def conform(self, inputs: Any) -> list[Any]:
        """`inputs` in order and, while tracing, of the dtypes and ranks declared.

        A last dimension of size 1 may be missing or be one too many.

        Raises:
            GraphError: If a shape does not fit.
            ValueError: If the number or the names do not fit.
        """
        flat = self.flat_inputs(inputs)
        if current_trace() is None:
            return flat
        pairs = zip(self.inputs, flat, strict=True)
        return [
            _conform(i, declared, given) for i, (declared, given) in enumerate(pairs)
        ]

    def flat_inputs(self, inputs: Any) -> list[Any]:
        """`inputs` in the order of the symbolic inputs; dicts go by input name.

        Raises:
            ValueError: If the number or the names do not fit.
        """
        if isinstance(inputs, dict) and not isinstance(self.inputs_structure, dict):
            missing = [t.name for t in self.inputs if t.name not in inputs]
            if missing:
                raise ValueError(
                    f"Missing input(s) {missing}. Received: {list(inputs)}"
                )
            return [inputs[t.name] for t in self.inputs]
        if isinstance(inputs, dict) and isinstance(self.inputs_structure, dict):
            missing = [k for k in self.inputs_structure if k not in inputs]
            if missing:
                raise ValueError(
                    f"Missing input(s) {missing}. Received: {list(inputs)}"
                )
            inputs = {k: inputs[k] for k in self.inputs_structure}
        flat = trees.leaves(inputs)
        if len(flat) != len(self.inputs):
            names = ", ".join(t.name for t in self.inputs)
            raise ValueError(
                f"The model expects {len(self.inputs)} input(s): {names}."
                f" Received: {len(flat)}"
            )
        return flat


def _conform(position: int, declared: KerasTensor, given: Any) -> Any:
    made = tensor(value(given, declared.dtype))
    rank = len(declared.shape)
    if len(made.shape) == rank - 1 and declared.shape[-1] == 1:
        made = ops.expand_dims(made, -1)
    elif len(made.shape) == rank + 1 and made.shape[-1] == 1:
        made = ops.squeeze(made, -1)
    # Of a batch of another size everything can be computed.
    spec = InputSpec(shape=(None, *declared.shape[1:]) if rank else ())
    problem = spec.problem(made.shape, made.dtype)
    if problem:
        path = current_path()
        raise GraphError(
            f"Input {position} of layer '{path.rpartition('/')[2] or declared.name}' is"
            f" incompatible with the layer: {problem}",
            location=here(),
            hint=f"the input was declared as {declared!r}",
        )
    made._keras_mask = getattr(given, "_keras_mask", None)
    return made


def _key(tensor: KerasTensor) -> tuple[int, int]:
    return id(tensor.operation), tensor.index


def _tensors(structure: Any, what: str) -> list[KerasTensor]:
    leaves = trees.leaves(structure)
    for leaf in leaves:
        if not isinstance(leaf, KerasTensor):
            kind = type(leaf).__name__
            shown = f"{kind} {leaf!r}" if isinstance(leaf, Tensor) else kind
            raise ValueError(
                f"All `{what}` of a functional model must be symbolic tensors, which"
                f" start from graphc.Input(). Received: {shown}"
            )
    return leaves
