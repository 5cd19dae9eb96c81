"""Function transformations: trace, jit, grad and value_and_grad."""

from __future__ import annotations

import functools
import inspect
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from graphc.files.lock import Locked, read_locked
from graphc.frontend import trees
from graphc.frontend.arguments import integer
from graphc.frontend.execution import CompileOptions
from graphc.frontend.program import (
    Program,
    Slot,
    array_type,
    as_input,
    is_array,
    raw,
    run_program,
    trace_program,
    wrap,
)
from graphc.frontend.tensor import Array, Tensor, TracedTensor
from graphc.frontend.tracing import Trace, current_trace, tensor, value
from graphc.frontend.variables import Variable, autocast
from graphc.ir import Graph, Location, Operand, TensorType, Value
from graphc.ir import dtype as ir_dtype
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim, SymbolicDim, parse_dim
from graphc.ir.errors import GraphError


class TensorSpec:
    """The shape and dtype of an input.

    Args:
        shape: Sizes: integers, None for an unknown size, or the name of a symbol.
        dtype: The dtype by its long name.
        name: A name for the parameter.

    Raises:
        ValueError: If a size is none of these.
        GraphError: For an unknown dtype, or text that is no symbol.

    Example:
        >>> import graphc
        >>> graphc.TensorSpec(("B", 784))
        TensorSpec(f32[B,784])
    """

    def __init__(
        self,
        shape: Sequence[int | str | None],
        dtype: str = "float32",
        name: str | None = None,
    ) -> None:
        if isinstance(shape, (str, bytes)) or not isinstance(shape, Iterable):
            raise ValueError(
                "Expected `shape` to be a tuple of integers, None and names of symbols."
                f" Received: shape={shape!r}"
            )
        dims: list[Dim] = []
        for position, size in enumerate(shape):
            if size is None:
                unnamed = "B" if position == 0 else f"D{position}"
                dims.append(SymbolicDim.symbol(unnamed))
            elif isinstance(size, str):
                dims.append(_symbolic(size, shape))
            elif isinstance(size, SymbolicDim):
                dims.append(size)
            elif integer(f"shape[{position}]", size) >= 0:
                dims.append(int(size))
            else:
                raise ValueError(
                    f"Expected sizes of at least 0. Received: shape={tuple(shape)}"
                )
        self.type = TensorType(tuple(dims), ir_dtype(dtype))
        self.name = name

    @property
    def shape(self) -> tuple[Dim, ...]:
        """The size of each dimension."""
        return self.type.shape

    @property
    def dtype(self) -> str:
        """The dtype by its long name."""
        return self.type.dtype.long_name

    def __repr__(self) -> str:
        return f"TensorSpec({self.type})"


def _symbolic(size: str, shape: Iterable[Any]) -> Dim:
    """The dim that a symbol's name, or an expression of some, stands for."""
    try:
        if size != size.strip():
            raise GraphError("spaces around a symbol")
        return parse_dim(size)
    except GraphError as error:
        raise GraphError(
            "Expected sizes to be integers, None or names of symbols, such as 'B'",
            received=f"shape={tuple(shape)}",
        ) from error


def trace(function: Callable[..., Any], *specs: Any) -> Graph:
    """Traces a function of tensors into a graph.

    Args:
        function: Takes tensors, returns a tensor or a nested structure of tensors.
        *specs: One `TensorSpec` (or array, whose type is taken) per argument.

    Returns:
        The graph, whose results are the leaves of what the function returns.
        Variables that it reads are parameters after the arguments; the new values of
        those it assigns are results after its own.

    Raises:
        GraphError: If the function asks for the value of a tensor.

    Example:
        >>> import graphc
        >>> graph = graphc.trace(lambda x: x * 2.0, graphc.TensorSpec((3,)))
        >>> [str(node.op.name) for node in graph.nodes]
        ['multiply']
    """
    return program_of(function, specs).graph


def program_of(
    function: Callable[..., Any],
    specs: Sequence[Any],
    keywords: Mapping[str, Any] | None = None,
) -> Program:
    """The program of a function for specs or example arrays."""
    types: list[TensorType] = []
    names: list[str | None] = []

    def slot(leaf: Any, label: str | None) -> Any:
        if isinstance(leaf, TensorSpec):
            types.append(leaf.type)
            label = leaf.name or label
        elif _is_input(leaf):
            types.append(array_type(_array(leaf)))
        else:
            return leaf
        names.append(label)
        return Slot(len(types) - 1)

    labels = _argument_names(function, len(specs))
    arguments = tuple(
        trees.map_leaves(lambda leaf, label=label: slot(leaf, label), spec)
        for label, spec in zip(labels, specs, strict=True)
    )
    extra = {
        name: trees.map_leaves(lambda leaf, label=name: slot(leaf, label), spec)
        for name, spec in (keywords or {}).items()
    }
    return trace_program(
        graph_name(function),
        lambda arguments, extra: function(*arguments, **extra),
        (arguments, extra),
        types,
        names,
    )


def graph_name(function: Callable[..., Any]) -> str:
    """The name of the graph of a function."""
    name = getattr(function, "__name__", type(function).__name__)
    return name if name.isidentifier() else "function"


def _argument_names(function: Callable[..., Any], count: int) -> list[str | None]:
    """Parameter names from the function's or layer's signature, one per argument."""
    try:
        signature = inspect.signature(getattr(function, "call", function))
    except (TypeError, ValueError):
        return [None] * count
    declared: list[str | None] = [
        p.name
        for p in signature.parameters.values()
        if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    return (declared + [None] * count)[:count]


class JittedFunction:
    """A function that is traced and compiled once per types of its arguments."""

    def __init__(
        self,
        function: Callable[..., Any],
        options: CompileOptions,
    ) -> None:
        functools.update_wrapper(self, function)
        self.function = function
        self.options = options
        self.programs: dict[Any, Program] = {}

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:
        if current_trace() is not None:
            return self.function(*arguments, **keywords)
        leaves, structure = trees.flatten((arguments, keywords))
        arrays: list[Any] = []
        kinds: list[Any] = []
        for leaf in leaves:
            if is_array(leaf):
                array = as_input(leaf)
            elif _is_input(leaf):
                array = _array(leaf).data
            else:
                kinds.append((type(leaf), leaf))
                continue
            arrays.append(array)
            kinds.append((array.shape, array.dtype))
        key = (structure, *kinds)
        try:
            program = self.programs.get(key)
        except TypeError as error:
            raise TypeError(
                f"{graph_name(self.function)}: arguments that are no tensors are part"
                f" of what is traced and must be hashable: {error}"
            ) from None
        if program is None:
            positional, named = trees.unflatten(structure, leaves)
            program = program_of(self.function, positional, named)
            program.options = self.options
            self.programs[key] = program
        return wrap(program.structure, program.run(arrays))

    def __get__(self, instance: Any, owner: type | None = None) -> Any:
        """The method of an object."""
        return self if instance is None else functools.partial(self, instance)


def _run_eagerly(
    function: Callable[..., Any], arguments: tuple[Any, ...], keywords: dict[str, Any]
) -> Any:
    """Traces a function anew and runs it: what it closes over may have changed."""
    leaves, structure = trees.flatten((arguments, keywords))
    examples = [_array(x) if _is_input(x) else x for x in leaves]
    program = program_of(function, *trees.unflatten(structure, examples))
    arrays = [raw(x) for x in examples if is_array(x)]
    return wrap(program.structure, run_program(program, arrays))


def _is_input(x: Any) -> bool:
    return is_array(x) or isinstance(x, (bool, int, float))


def _array(x: Any) -> Any:
    if is_array(x):
        return Array(as_input(x))
    with autocast(None):
        kinds = {bool: "bool", int: "int32", float: "float32"}
        return Array(ir_dtype(kinds[type(x)]).numpy.type(x).reshape(()))


def jit(
    function: Callable[..., Any] | None = None,
    *,
    target: str = "xla",
    precision: str = "float32",
    lock: str | os.PathLike[str] | None = None,
    locked: bool = False,
) -> Any:
    """Compiles a function of tensors, once per types of its arguments.

    Arrays and numbers among the arguments, also in lists, tuples and dicts, are tensors.
    Anything else, such as a string, is passed as it is: it must be hashable, and the
    function is traced anew for each value.

    Args:
        function: Takes and returns nested structures of tensors; it may read and
            assign variables.
        target: The target to compile for.
        precision: How float32 is computed, such as ``"mixed_bfloat16"``; see
            `graphc.compile`.
        lock: A lock file of ``graphc tune``, which is read at once; see
            `graphc.compile`.
        locked: Whether it is an error of a call that `lock` has no line about something.

    Returns:
        A function that takes NumPy arrays, numbers or `Array`s and returns `Array`s.

    Raises:
        LoadError: If the lock file cannot be read, or is damaged.
        ValueError: If `locked` is given without `lock`.

    Example:
        >>> import graphc
        >>> @graphc.jit
        ... def double(x):
        ...     return x * 2.0
        >>> float(double(3.0))
        6.0
    """
    options = CompileOptions(target, precision=precision, lock=lock_of(lock, locked))
    if function is None:
        return functools.partial(JittedFunction, options=options)
    _check_callable(function)
    return JittedFunction(function, options)


def _check_callable(function: Any) -> None:
    if not callable(function):
        raise TypeError(f"Expected a function. Received: {function!r}")


def lock_of(lock: str | os.PathLike[str] | None, locked: bool) -> Locked | None:
    """What a lock file has; None without one.

    Raises:
        LoadError: If it cannot be read, or is damaged.
        ValueError: If lines are required of no file.
    """
    if lock is None and locked:
        raise ValueError(
            "Expected `lock`, a file, with locked=True. Received: lock=None"
        )
    return None if lock is None else read_locked(lock, locked)


def grad(function: Callable[..., Any], argnums: int | Sequence[int] = 0) -> Any:
    """A function that returns the gradient of a scalar function.

    Args:
        function: Takes tensors, returns a scalar float tensor.
        argnums: Which arguments to differentiate with respect to.

    Returns:
        A function of the same arguments: the gradient, or a tuple of gradients where
        `argnums` is a sequence.

    Example:
        >>> import graphc
        >>> float(graphc.grad(lambda x: x * x)(3.0))
        6.0
    """
    with_value = value_and_grad(function, argnums)

    @functools.wraps(function)
    def gradient(*arguments: Any, **keywords: Any) -> Any:
        return with_value(*arguments, **keywords)[1]

    return gradient


def value_and_grad(
    function: Callable[..., Any],
    argnums: int | Sequence[int] | None = None,
    has_aux: bool = False,
    variables: Sequence[Variable] | None = None,
) -> Any:
    """A function that returns a scalar function's value and gradients.

    Args:
        function: Takes tensors and returns a scalar float tensor, or, with `has_aux`,
            a tuple of that scalar and a nested structure of tensors.
        argnums: Which arguments to differentiate with respect to; 0 unless `variables`
            are given.
        has_aux: Whether the function returns auxiliary outputs.
        variables: Variables to differentiate with respect to instead of arguments.

    Returns:
        A function of the same arguments that returns ``(value, gradients)``. Outside of
        `jit` and training steps each call traces it anew. The value is what `function`
        returns; gradients has the structure of `argnums` or, given variables, is a
        list with one gradient each.

    Raises:
        GraphError: If the value is not a scalar float, or an op on the way to it has
            no gradient.

    Example:
        >>> import graphc
        >>> def loss(w, x):
        ...     return graphc.ops.sum(w * x)
        >>> value, gradient = graphc.value_and_grad(loss)(3.0, 2.0)
        >>> float(value), float(gradient)
        (6.0, 2.0)
    """
    _check_callable(function)
    if variables is None and argnums is None:
        argnums = 0

    @functools.wraps(function)
    def differentiated(*arguments: Any, **keywords: Any) -> Any:
        if current_trace() is None:
            return _run_eagerly(differentiated, arguments, keywords)
        called = functools.wraps(function)(functools.partial(function, **keywords))
        if variables is not None:
            return _differentiate(called, arguments, (), has_aux, variables)
        single = isinstance(argnums, int)
        chosen = (argnums,) if isinstance(argnums, int) else tuple(argnums or ())
        if not all(-len(arguments) <= i < len(arguments) for i in chosen):
            raise ValueError(
                "Expected `argnums` to number arguments of the call."
                f" Received: argnums={argnums} for {len(arguments)} arguments"
            )
        chosen = tuple(i + len(arguments) if i < 0 else i for i in chosen)
        result, gradients = _differentiate(called, arguments, chosen, has_aux, ())
        return result, gradients[0] if single else tuple(gradients)

    return differentiated


def _differentiate(
    function: Callable[..., Any],
    arguments: tuple[Any, ...],
    chosen: tuple[int, ...],
    has_aux: bool,
    variables: Sequence[Variable],
) -> tuple[Any, list[Any]]:
    """Traces `function` as a graph and adds one ``value_and_gradient`` node of it."""
    outer = current_trace()
    assert outer is not None
    name = outer.module.fresh_name(_loss_name(function))
    inner = Trace(Graph(name, outer.module), outer)
    flat, structure = trees.flatten(arguments)
    operands = [value(leaf) for leaf in flat if _is_differentiable(leaf)]
    with inner():
        made = iter([inner.parameter(o.type, _name(o)) for o in operands])
        filled = [next(made) if _is_differentiable(leaf) else leaf for leaf in flat]
        inputs = trees.unflatten(structure, filled)
        result = function(*inputs)
        loss, aux = _split(result, has_aux, outer)
        leaves, aux_structure = trees.flatten(aux)
        head = value(loss)
        results = [head, *(value(leaf) for leaf in leaves)]
        results += [inner.read(v).value for v in inner.written]
        _check_scalar(head, outer)
    inner.graph.results = results
    targets = [inner.state.get(v) for v in variables]
    wanted = [inputs[i] for i in chosen]
    targets += [
        leaf.value
        for leaf in trees.leaves(wanted)
        if isinstance(leaf, TracedTensor) and isinstance(leaf.value, Value)
    ]
    wrt = [t.index for t in targets if t is not None]
    node = ir_ops.value_and_gradient(
        *operands, *inner.outer_operands(), graph=inner.graph, wrt=wrt
    )
    found = iter([tensor(v) for v in (node if isinstance(node, tuple) else (node,))])
    loss = next(found)
    aux = trees.unflatten(aux_structure, [next(found) for _ in leaves])
    for variable in list(inner.written):
        outer.write(variable, next(found))
    gradients = [None if t is None else next(found) for t in targets]
    if variables:
        return ((loss, aux) if has_aux else loss), gradients
    by_argument = trees.unflatten(trees.structure(wanted), gradients)
    return ((loss, aux) if has_aux else loss), by_argument


def _name(operand: Operand) -> str | None:
    return operand.name if isinstance(operand, Value) else None


def _is_differentiable(leaf: Any) -> bool:
    return isinstance(leaf, (Tensor, float)) or is_array(leaf)


def _loss_name(function: Callable[..., Any]) -> str:
    name = graph_name(function)
    return "loss" if name == "function" else name


def _split(result: Any, has_aux: bool, trace: Trace) -> tuple[Any, Any]:
    """The value to differentiate and the auxiliary outputs."""
    pair = isinstance(result, (tuple, list)) and len(result) == 2
    if has_aux and not pair:
        raise GraphError(
            "with has_aux=True the function must return (value, auxiliary outputs)",
            received=type(result).__name__,
            location=Location.capture(trace.builder.path),
        )
    if not has_aux and isinstance(result, (tuple, list, dict)):
        raise GraphError(
            "only a scalar float has a gradient",
            received=f"a function that returns a {type(result).__name__}",
            location=Location.capture(trace.builder.path),
            hint="return further outputs with has_aux=True, as (value, others)",
        )
    return (result[0], result[1]) if has_aux else (result, None)


def _check_scalar(head: Any, trace: Trace) -> None:
    if head.type.shape != () or not head.type.dtype.is_float:
        raise GraphError(
            "only a scalar float has a gradient",
            received=f"a function that returns {head.type}",
            location=Location.capture(trace.builder.path),
            hint="reduce it, for example with ops.mean or ops.sum; return further"
            " outputs with has_aux=True",
        )
