"""Layers that run graphs from a file in place of Python code that is not there."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary, ref

from graphc.frontend import constraints, dtype_policies, regularizers
from graphc.frontend.layers.call_spec import CALL_CONTEXT, is_tensor_like
from graphc.frontend.layers.layer import Layer
from graphc.frontend.serialization.capture import call_form
from graphc.frontend.serialization.objects import decode
from graphc.frontend.tensor import TracedTensor
from graphc.frontend.tracing import current_trace, name_scope, tensor, value
from graphc.frontend.variables import Variable
from graphc.ir import Graph, Module, Operand, TensorType
from graphc.ir import ops as ir_ops
from graphc.ir.dims import Dim, SymbolicDim, substitute
from graphc.ir.errors import GraphError, UnknownDimError

_KINDS = {
    "normal": inspect.Parameter.POSITIONAL_OR_KEYWORD,
    "variadic": inspect.Parameter.VAR_POSITIONAL,
    "named": inspect.Parameter.KEYWORD_ONLY,
    "keywords": inspect.Parameter.VAR_KEYWORD,
}


_PARTS = ("inference", "training")


def signature_entries(signature: inspect.Signature) -> list[list[str]]:
    """A signature as JSON: names and kinds of its parameters."""
    names = {kind: name for name, kind in _KINDS.items()}
    names[inspect.Parameter.POSITIONAL_ONLY] = "normal"
    return [[p.name, names[p.kind]] for p in signature.parameters.values()]


def signature_of_entries(entries: Sequence[Sequence[str]]) -> inspect.Signature:
    """The signature that `signature_entries` described; each argument is optional."""
    parameters: list[inspect.Parameter] = []
    for name, kind in entries:
        optional = kind in ("normal", "named")
        default = None if optional else inspect.Parameter.empty
        parameters.append(inspect.Parameter(name, _KINDS[kind], default=default))
    return inspect.Signature(parameters)


class IncludedGraph:
    """A graph from a file, and its copies in the modules that call it.

    Args:
        graph: The graph.
    """

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        # A graph refers to its module: kept as such, it would keep the module alive.
        self._copies: WeakKeyDictionary[Module, dict[Any, ref[Graph]]]
        self._copies = WeakKeyDictionary()

    def call(self, operands: Sequence[Operand]) -> tuple[Operand, ...]:
        """Calls the graph from the graph that is being traced.

        Raises:
            GraphError: If a type differs from the one that was traced, with the name of
                the argument.
            UnknownDimError: If a size must be known that is not.
        """
        trace = current_trace()
        assert trace is not None
        bindings = self.bindings([o.type for o in operands])
        copies = self._copies.setdefault(trace.module, {})
        key = tuple(sorted((symbol, str(dim)) for symbol, dim in bindings.items()))
        copy = copies[key]() if key in copies else None
        if copy is None or trace.module.graphs.get(copy.name) is not copy:
            copy = trace.module.include(self.graph, bindings)
            copies[key] = ref(copy)
        results = ir_ops.call(*operands, graph=copy)
        return results if isinstance(results, tuple) else (results,)

    def bindings(self, types: Sequence[TensorType]) -> dict[str, Dim]:
        """What the symbols of the graph stand for where it is called with `types`."""
        wanted = [p.type for p in self.graph.parameters]
        found: dict[str, Dim] = {}
        for expected, given in zip(wanted, types, strict=True):
            if expected.rank == given.rank:
                for dim, size in zip(expected.shape, given.shape, strict=True):
                    if isinstance(dim, SymbolicDim) and str(dim) in self.graph.ranges:
                        found.setdefault(str(dim), size)
        for parameter, given in zip(self.graph.parameters, types, strict=True):
            self._check(parameter.name, parameter.type, given, found)
        return found

    def _check(
        self,
        name: str | None,
        expected: TensorType,
        given: TensorType,
        found: Mapping[str, Dim],
    ) -> None:
        bound = tuple(substitute(dim, found) for dim in expected.shape)
        if bound == given.shape and expected.dtype is given.dtype:
            return
        fixed = zip(bound, given.shape, strict=False)
        unknown = len(bound) == given.rank and any(
            isinstance(dim, int) and isinstance(size, SymbolicDim)
            for dim, size in fixed
        )
        kind = UnknownDimError if unknown else GraphError
        raise kind(
            f"the saved graph @{self.graph.name} takes {expected} for its parameter"
            f" {name or 'x'}",
            received=str(given),
            hint="the code that it was traced from is not here; sizes that the code"
            " asked for are fixed in the graph",
        )


class GraphCalls(Layer):
    """A layer whose calls are graphs; it has the variables that they read and write.

    Attributes:
        saved_class: The name of the class that the graphs were traced from.
        saved_segment: The layer's part of the paths of variables, if it was no layer.
        saved_variables: The variables that belong to this layer, by path below it.
        saved_entry: What the file says about the layer.
    """

    saved_class: str
    saved_segment: str | None
    saved_variables: dict[str, Variable]
    saved_entry: dict[str, Any]

    def restore(self, entry: dict[str, Any], graphs: Mapping[str, Graph]) -> None:
        """Makes the layer what a saved entry says.

        Args:
            entry: The entry, with a ``graph``.
            graphs: The graphs of the file by name.
        """
        saved = entry["graph"]
        self.saved_entry = entry
        self.saved_class = str(entry["class_name"])
        self.saved_segment = saved.get("segment")
        self.saved_variables = {}
        self._hidden: list[Variable] = []
        self._slots: list[Variable] = []
        self._awaited: list[tuple[int, str]] = []
        self._signature = signature_of_entries(saved["parameters"])
        for index, described in enumerate(saved["variables"]):
            if "shared" in described:
                self._awaited.append((index, described["shared"]))
                self._slots.append(_stand_in(described))
                continue
            variable = _make_variable(described, graphs)
            self.saved_variables[described["path"]] = variable
            self._slots.append(variable)
        self._included = {name: IncludedGraph(graph) for name, graph in graphs.items()}
        for call in saved["calls"]:
            for part in _PARTS:
                self._check_part(call, call[part])
        self._file_variables()
        self.built = True

    def _check_part(self, call: dict[str, Any], part: dict[str, Any]) -> None:
        """Compares what the file says about a graph with the graph itself.

        Raises:
            ValueError: If they differ.
        """
        graph = self._included[part["graph"]].graph
        masks, reads, writes = part["masks"], part["reads"], part["writes"]
        inputs = len(call["input_masks"]) + sum(map(bool, call["input_masks"]))
        outputs = len(masks) + sum(map(bool, masks)) + int(part["losses"])
        counts = (len(graph.parameters), len(graph.results), inputs + len(reads),
                  outputs + len(writes))  # fmt: skip
        if counts[:2] != counts[2:] or part["losses"] < 0:
            raise ValueError(
                f"Expected graph @{graph.name} to have {counts[2]} parameters and"
                f" {counts[3]} results. Received: {counts[0]} and {counts[1]}"
            )
        decode(part["outputs"], lambda leaf: masks[_index(leaf["config"], len(masks))])
        values = [*graph.parameters[inputs:], *graph.results[outputs:]]
        for index, found in zip([*reads, *writes], values, strict=True):
            variable = self._slots[_index(index, len(self._slots))]
            if variable.type != found.type:
                raise ValueError(
                    f"Expected graph @{graph.name} to have a {variable.type} for"
                    f" variable {variable.path!r}. Received: {found.type}"
                )

    def awaited(self) -> list[str]:
        """The paths of the variables that other layers have and this one reads."""
        return [path for _, path in self._awaited]

    def share(self, variables: Mapping[str, Variable]) -> None:
        """Takes the variables that other layers have; by path."""
        for index, path in self._awaited:
            self._slots[index] = variables[path]
        for call in self.saved_entry["graph"]["calls"]:
            for part in _PARTS:
                self._check_part(call, call[part])
        self._file_variables()

    def _file_variables(self) -> None:
        """Sorts the variables by what they are to the layer."""
        self._own_trainable, self._own_non_trainable, self._hidden = [], [], []
        kinds = {
            "trainable": self._own_trainable,
            "fixed": self._own_non_trainable,
            "state": self._hidden,
        }
        for variable, described in self.described():
            kind = kinds.get(described["kind"])
            if kind is not None:
                kind.append(variable)

    def saved_graphs(self) -> dict[str, Graph]:
        """The graphs of the file that belong to this layer, by their names there."""
        saved = self.saved_entry["graph"]
        names: list[str] = []
        for described in saved["variables"]:
            penalties = (described.get("regularizer"), described.get("constraint"))
            names += [p["graph"] for p in penalties if p is not None and "graph" in p]
        names += [c[part]["graph"] for c in saved["calls"] for part in _PARTS]
        return {name: self._included[name].graph for name in names}

    def described(self) -> list[tuple[Variable, dict[str, Any]]]:
        """The variables, each with what the file says about it."""
        listed = self.saved_entry["graph"]["variables"]
        return list(zip(self._slots, listed, strict=True))

    def sublayers(self) -> list[Layer]:
        """None: layers inside the original one are part of the graphs."""
        return []

    def own_variables(self) -> list[Variable]:
        """The weights, in the order that the original layer had them in."""
        weights = ("trainable", "fixed")
        return [v for v, described in self.described() if described["kind"] in weights]

    def seed_states(self) -> list[Variable]:
        """The variables that are no weights: random state and the like."""
        return list(self._hidden)

    def get_config(self) -> dict[str, Any]:
        """Always fails: the layer is known by its graphs only.

        Raises:
            NotImplementedError: Saying what to do.
        """
        raise NotImplementedError(
            f"Layer '{self.name}' was loaded without its class {self.saved_class}, so it"
            " has graphs and no config. Save the whole model with model.save(...), or"
            " load it with custom_objects."
        )

    # -- calling -------------------------------------------------------------------------

    def _call_traced(self, arguments: Any, keywords: Any) -> Any:
        if CALL_CONTEXT.depth == 0:
            self.clear_losses()
        rest = {name: x for name, x in keywords.items() if name != "training"}
        given = keywords if "training" in self._signature.parameters else rest
        bound = dict(self._signature.bind(*arguments, **given).arguments)
        bound.setdefault("training", keywords.get("training"))
        saved, tensors, training = self._find_call(bound)
        with name_scope(self.name):
            return self._run(saved, tensors, training)

    def input_types(self) -> list[TensorType]:
        """The types of the inputs of the first saved call."""
        part = self.saved_entry["graph"]["calls"][0]["inference"]
        parameters = self._included[part["graph"]].graph.parameters
        return [p.type for p in parameters[: len(parameters) - len(part["reads"])]]

    def _find_call(
        self, bound: dict[str, Any]
    ) -> tuple[dict[str, Any], list[Any], bool]:
        """The saved call that fits the arguments, the tensors among them, and the mode.

        Raises:
            ValueError: If the layer was never called like this.
        """
        calls: list[dict[str, Any]] = self.saved_entry["graph"]["calls"]
        training = CALL_CONTEXT.training
        form, tensors = call_form(bound, is_tensor_like)
        if bound.get("training") is not None and all(form != c["form"] for c in calls):
            training = bool(bound["training"])
            form, tensors = call_form(bound | {"training": None}, is_tensor_like)
        tensors = [
            tensor(value(x)) if not isinstance(x, TracedTensor) else x for x in tensors
        ]
        alike = [c for c in calls if c["form"] == form and _has_masks(c, tensors)]
        for call in alike:
            if self._fits(call, tensors) or call is alike[-1]:
                return call, tensors, bool(training)
        raise ValueError(
            f"Layer '{self.name}' was loaded without its class {self.saved_class}, and"
            " can be called only in the ways in which it was called when it was saved."
            f" Expected arguments like one of {[c['form'] for c in calls]}."
            f" Received: {form}"
        )

    def _fits(self, call: dict[str, Any], tensors: Sequence[TracedTensor]) -> bool:
        graph = self._included[call["inference"]["graph"]].graph
        wanted = [p.type for p in graph.parameters[: len(tensors)]]
        return all(
            w.rank == len(t.shape)
            and all(
                not isinstance(a, int) or isinstance(b, SymbolicDim) or a == b
                for a, b in zip(w.shape, t.shape, strict=True)
            )
            for w, t in zip(wanted, tensors, strict=True)
        )

    def _run(
        self, call: dict[str, Any], tensors: Sequence[TracedTensor], training: bool
    ) -> Any:
        part = call["training" if training else "inference"]
        included = self._included[part["graph"]]
        trace = current_trace()
        assert trace is not None
        given = [*tensors, *_masks(call, tensors)]
        operands: list[Operand] = []
        parameters = included.graph.parameters
        for x, parameter in zip(given, parameters, strict=False):
            operands.append(_converted(x, parameter.type))
        operands += [trace.read(self._slots[i]).value for i in part["reads"]]
        results = iter([tensor(v) for v in included.call(operands)])
        outputs = [next(results) for _ in part["masks"]]
        for output, masked in zip(outputs, part["masks"], strict=True):
            if masked:
                output._keras_mask = next(results)
        for _ in range(part["losses"]):
            self.add_loss(next(results))
        for index in part["writes"]:
            trace.write(self._slots[index], next(results))
        return decode(part["outputs"], lambda leaf: outputs[leaf["config"]])


class GraphLayer(GraphCalls):
    """A layer of a class, or of a function, that is not there: it runs saved graphs.

    Args:
        entry: What the file says about the layer.
        graphs: The graphs of the file by name.
    """

    def __init__(self, entry: dict[str, Any], graphs: Mapping[str, Graph]) -> None:
        saved = entry["graph"]
        super().__init__(
            name=saved["name"],
            trainable=bool(saved["trainable"]),
            dtype=dtype_policies.get(saved["dtype"]),
        )
        self.restore(entry, graphs)


class GraphFunction:
    """A function of tensors that runs a saved graph: a regularizer, a loss, ...

    Args:
        graph: The graph.
        name: What the function was called.
    """

    def __init__(self, graph: Graph, name: str) -> None:
        self._included = IncludedGraph(graph)
        self.__name__ = name

    @property
    def graph(self) -> Graph:
        """The graph that it runs."""
        return self._included.graph

    def __call__(self, *tensors: Any) -> Any:
        """The result of the graph, inside a trace."""
        parameters = self.graph.parameters
        operands = [
            _converted(x, p.type) for x, p in zip(tensors, parameters, strict=True)
        ]
        return tensor(self._included.call(operands)[0])


def _converted(x: Any, wanted: TensorType) -> Operand:
    """`x` in the dtype of a parameter, if both are floats or both integers."""
    operand = value(x)
    found = operand.type.dtype
    alike = found.is_float and wanted.dtype.is_float
    alike = alike or (found.is_integer and wanted.dtype.is_integer)
    return value(x, wanted.dtype.long_name) if alike else operand


def _has_masks(call: dict[str, Any], tensors: Sequence[TracedTensor]) -> bool:
    """Whether the tensors have the masks that a saved call takes."""
    wanted = call["input_masks"]
    return len(wanted) == len(tensors) and all(
        getattr(t, "_keras_mask", None) is not None
        for t, masked in zip(tensors, wanted, strict=True)
        if masked
    )


def _masks(call: dict[str, Any], tensors: Sequence[TracedTensor]) -> list[Any]:
    wanted = call["input_masks"]
    return [t._keras_mask for t, m in zip(tensors, wanted, strict=True) if m]


def _make_variable(described: dict[str, Any], graphs: Mapping[str, Graph]) -> Variable:
    variable = Variable(
        _no_initial_value,
        shape=tuple(described["shape"]),
        dtype=described["dtype"],
        trainable=bool(described["trainable"]),
        autocast=bool(described["autocast"]),
        name=described["name"],
    )
    variable.path = described["full_path"]
    variable.regularizer = _penalty(described["regularizer"], "regularizer", graphs)
    variable.constraint = _penalty(described["constraint"], "constraint", graphs)
    variable.overwrite_with_gradient = bool(described["overwrite_with_gradient"])
    return variable


def _stand_in(described: dict[str, Any]) -> Variable:
    """What stands for a variable of another layer until that layer is there."""
    shape, dtype = tuple(described["shape"]), described["dtype"]
    return Variable(_no_initial_value, shape=shape, dtype=dtype, trainable=False)


def _no_initial_value(shape: Any, dtype: Any = None) -> Any:
    raise ValueError(
        "The variable of a saved graph has no initial value: it gets its value from the"
        f" file. Received: shape={shape}"
    )


_FAMILIES = {"regularizer": regularizers, "constraint": constraints}


def _penalty(described: Any, family: str, graphs: Mapping[str, Graph]) -> Any:
    """The regularizer or constraint of a saved variable."""
    if isinstance(described, dict) and "graph" in described:
        return GraphFunction(graphs[described["graph"]], described["name"])
    return _FAMILIES[family].deserialize(described)


def _index(given: Any, count: int) -> int:
    if type(given) is not int or not 0 <= given < count:
        raise ValueError(f"Expected a number in 0..{count - 1}. Received: {given!r}")
    return given
