"""Branches and loops that the graph keeps: cond, switch, scan, map and loops.

The functions that are passed are traced once, or a second time where a first trace
finds that a loop assigns to variables. They may read tensors and variables from
around them and assign to variables.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from graphc.frontend import trees
from graphc.frontend.callees import Callee, captured_operands, outline, traced_callee
from graphc.frontend.dispatch import op
from graphc.frontend.ops.logic import less, logical_and
from graphc.frontend.ops.operands import TensorLike, read, refuse
from graphc.frontend.tensor import TracedTensor
from graphc.frontend.tracing import current_trace, tensor, value
from graphc.frontend.variables import Variable
from graphc.ir import Operand, TensorType
from graphc.ir import ops as ir_ops
from graphc.ir.body import as_tuple
from graphc.ir.dims import Dim, SymbolicDim

__all__ = [
    "cond",
    "fori_loop",
    "map",
    "scan",
    "switch",
    "vectorized_map",
    "while_loop",
]

# -- branches --------------------------------------------------------------------------


@op
def cond(
    pred: TensorLike, true_fn: Callable[[], Any], false_fn: Callable[[], Any]
) -> Any:
    """What `true_fn` returns if `pred` is true, else what `false_fn` returns.

    Args:
        pred: A boolean scalar.
        true_fn: Takes nothing, returns a nested structure of tensors.
        false_fn: Returns the same structure of tensors of the same types.

    Returns:
        The structure that both return.

    Raises:
        GraphError: If the functions return different structures or types.

    Example:
        >>> import graphc
        >>> x = graphc.ops.array(3.0)
        >>> float(graphc.ops.cond(x > 0, lambda: x + 1, lambda: x - 1))
        4.0
    """
    flag = value(pred, "bool")
    return _branch(flag, [false_fn, true_fn], (), ["false_fn", "true_fn"])


@op
def switch(
    index: TensorLike, branches: Sequence[Callable[..., Any]], *operands: Any
) -> Any:
    """What the one of the `branches` that `index` numbers returns for `operands`.

    Args:
        index: An integer scalar; one that is out of bounds means the nearest.
        branches: Functions of the operands that return the same structure of tensors
            of the same types.
        *operands: Nested structures of tensors.

    Returns:
        The structure that all return.

    Raises:
        GraphError: If the branches return different structures or types.

    Example:
        >>> import graphc
        >>> branches = [graphc.ops.add, graphc.ops.subtract]
        >>> float(graphc.ops.switch(1, branches, 2.0, 0.5))
        1.5
    """
    if not branches:
        refuse("Expected at least one branch. Received: branches=[]")
    names = [f"branch {i}" for i in range(len(branches))]
    return _branch(value(index, "int32"), list(branches), operands, names)


def _branch(
    index: Operand,
    functions: Sequence[Callable[..., Any]],
    operands: tuple[Any, ...],
    names: Sequence[str],
) -> Any:
    if index.type.shape:
        refuse(
            "the value that chooses a branch must be a scalar",
            received=f"a tensor of type {index.type}",
        )
    leaves, structure = trees.flatten(operands)
    given = [value(leaf) for leaf in leaves]
    callees = [
        traced_callee(f, "branch", filled(structure), [o.type for o in given])
        for f in functions
    ]
    first = callees[0]
    for callee, name in zip(callees[1:], names[1:], strict=True):
        if (callee.structure, callee.types) != (first.structure, first.types):
            refuse(
                f"{names[0]} and {name} must return the same structure of tensors of"
                " the same types",
                received=f"{first.outline()} and {callee.outline()}",
            )
    written = list(dict.fromkeys(v for callee in callees for v in callee.written))
    for callee in callees:
        callee.graph.results = [*callee.results, *callee.read(written)]
    captured = captured_operands(*callees)
    if not first.results and not written:
        return trees.unflatten(first.structure, [])
    found = ir_ops.cond(
        index, *given, *captured, branches=[callee.graph for callee in callees]
    )
    results = as_tuple(found)
    _write(written, results[len(first.results) :])
    return wrapped(first.structure, results[: len(first.results)])


# -- loops -----------------------------------------------------------------------------


class _Loop:
    """A function from carries to carries, traced until the carries are settled.

    Attributes:
        starts: The carries at the start.
        structure: Their structure.
        variables: The variables that the function assigns to: carries as well.
    """

    def __init__(self, function: Callable[..., Any], init: Any, words: str) -> None:
        self.function = function
        self.words = words
        self._leaves, self.structure = trees.flatten(init)
        self.starts = [value(leaf) for leaf in self._leaves]
        self.variables: list[Variable] = []

    @property
    def types(self) -> list[TensorType]:
        """The types of the carries at the start."""
        return [start.type for start in self.starts]

    def body(
        self, elements: Sequence[TensorType], structure: Any
    ) -> tuple[Callee, Any]:
        """The function as a callee of carries, variables and elements.

        It is called with the carries and the elements, each in their structure, and
        must return the carries and something else.

        Returns:
            The callee, whose results are not set, and the structure of its output.
        """
        count = len(self.starts)
        while True:
            callee = traced_callee(
                self.function,
                "body",
                lambda given: (
                    trees.unflatten(self.structure, given[:count]),
                    trees.unflatten(structure, given[count:]),
                ),
                self.types,
                self.variables,
                elements,
            )
            returned, rest = self._split(callee)
            if self._settled(callee, returned):
                return callee, rest
            callee.discard()

    def _split(self, callee: Callee) -> tuple[Any, Any]:
        structure = callee.structure
        if structure.type not in (tuple, list) or structure.num_children != 2:
            refuse(
                f"{self.words.split(' ')[0]} must return a pair, a carry and an output",
                received=callee.outline(),
            )
        return structure.children()

    def _settled(self, callee: Callee, returned: Any) -> bool:
        """Whether carries and variables may stay as they are."""
        types = callee.types[: len(self.starts)]
        if returned == self.structure and types != self.types:
            self.starts = [
                self._adapted(start, leaf, type)
                for start, leaf, type in zip(
                    self.starts, self._leaves, types, strict=True
                )
            ]
            if types == self.types:
                return False
        if returned != self.structure or types != self.types:
            refuse(
                f"{self.words}: the same structure of tensors of the same shapes and"
                " dtypes",
                received=f"{outline(self.structure, self.types)} at the start and"
                f" {outline(returned, callee.types[: returned.num_leaves])} after a step",
                hint="ops.cast and ops.broadcast_to change the start",
            )
        known, self.variables = self.variables, callee.written
        return len(known) == len(self.variables)

    def _adapted(self, start: Operand, leaf: Any, type: TensorType) -> Operand:
        """The start, if it is a Python number, in the dtype that a step makes of it."""
        number = isinstance(leaf, (bool, int, float))
        return value(leaf, type.dtype.long_name) if number and not type.shape else start

    def operands(self) -> list[Operand]:
        """The carries at the start, then the variables."""
        outer = current_trace()
        assert outer is not None
        return [*self.starts, *(outer.read(v).value for v in self.variables)]

    def finish(self, results: Sequence[Any]) -> Any:
        """Assigns the variables, given the loop's results; returns the last carry."""
        count = len(self.starts)
        _write(self.variables, results[count:])
        return wrapped(self.structure, results[:count])


@op
def scan(
    f: Callable[..., Any],
    init: Any,
    xs: Any = None,
    length: Dim | None = None,
    reverse: bool = False,
    unroll: int | bool = 1,
    *,
    recompute: bool = False,
) -> tuple[Any, Any]:
    """Carries values through the elements of `xs` along their leading axis.

    Args:
        f: Takes the carry and one element of `xs`, returns the next carry and an
            output; each a nested structure of tensors.
        init: The carry at the start. Its structure, shapes and dtypes must be those of
            the carry that `f` returns; a Python number takes the dtype of the latter.
        xs: Tensors of one leading size, or None.
        length: The number of steps; needed where `xs` is None.
        reverse: Whether to go from the last element to the first. The outputs still
            stand where their elements do.
        unroll: Accepted as in Keras; the loop is not unrolled.
        recompute: Whether gradients compute the values of `f` again from the carries
            instead of keeping them: less memory, more time.

    Returns:
        The carry at the end, and the outputs of all steps, stacked.

    Raises:
        GraphError: If the sizes of `xs` differ, or `f` returns another carry than it
            takes.

    Example:
        >>> import graphc
        >>> x = graphc.ops.array([1, 2, 3])
        >>> total, sums = graphc.ops.scan(lambda c, x: (c + x, c + x), 0, x)
        >>> sums
        Array([1, 3, 6], dtype=int32)
    """
    if not isinstance(unroll, bool) and (not isinstance(unroll, int) or unroll < 1):
        refuse(
            "Expected `unroll` to be a positive integer or a boolean."
            f" Received: unroll={unroll!r}"
        )
    leaves, structure = trees.flatten(xs)
    sequences = [read(leaf) for leaf in leaves]
    steps = _length(length, [s.type for s in sequences])
    elements = [s.type.with_shape(s.shape[1:]) for s in sequences]
    loop = _Loop(f, init, "f must return the carry that it takes, that of init")
    body, rest = loop.body(elements, structure)
    count = len(loop.starts)
    states = body.read(loop.variables)
    body.graph.results = [*body.results[:count], *states, *body.results[count:]]
    starts = loop.operands()
    captured = captured_operands(body)
    results: tuple[Any, ...] = ()
    if body.graph.results:
        found = ir_ops.scan(
            *starts,
            *sequences,
            *captured,
            body=body.graph,
            length=steps,
            carries=len(starts),
            sequences=len(sequences),
            reverse=reverse,
            recompute=recompute,
        )
        results = as_tuple(found)
    carry = loop.finish(results[: len(starts)])
    return carry, wrapped(rest, results[len(starts) :])


def _length(length: Dim | None, types: Sequence[TensorType]) -> Dim:
    """The number of steps that the sequences and the argument `length` agree on."""
    sizes: list[Dim] = [type.shape[0] for type in types if type.shape]
    if len(sizes) < len(types):
        refuse(
            "each tensor of xs must have a leading axis",
            received=", ".join(str(type) for type in types),
        )
    if length is not None:
        sizes.append(int(length) if not isinstance(length, SymbolicDim) else length)
    if not sizes:
        refuse("without xs the number of steps must be given: length=...")
    if any(size != sizes[0] for size in sizes):
        given = [str(type) for type in types]
        given += [] if length is None else [f"length={length}"]
        refuse(
            "the leading sizes of xs, and length, must be equal",
            received=", ".join(given),
        )
    return sizes[0]


@op
def map(f: Callable[..., Any], xs: Any) -> Any:
    """What `f` returns for each element of `xs`, stacked.

    Args:
        f: Takes and returns a nested structure of tensors.
        xs: Tensors of one leading size.

    Example:
        >>> import graphc
        >>> graphc.ops.map(lambda x: x * x, graphc.ops.array([1, 2, 3]))
        Array([1, 4, 9], dtype=int32)
    """
    return scan(lambda carry, x: (carry, f(x)), None, xs)[1]


@op
def vectorized_map(function: Callable[..., Any], elements: Any) -> Any:
    """What `function` returns for each element of `elements`, stacked.

    The same as `map`: one element after the other. A function of the whole tensors,
    where one can be written, is faster.

    Args:
        function: Takes and returns a nested structure of tensors.
        elements: Tensors of one leading size.
    """
    return scan(lambda carry, x: (carry, function(x)), None, elements)[1]


@op
def fori_loop(
    lower: TensorLike,
    upper: TensorLike,
    body_fun: Callable[[Any, Any], Any],
    init_val: Any,
) -> Any:
    """The last of the values that `body_fun` makes for each integer of a range.

    With bounds that are Python integers, or sizes of tensors, it is a `scan` and has
    gradients; with bounds that are tensors it is a `while_loop` and has none.

    Args:
        lower: The first integer.
        upper: The integer behind the last one.
        body_fun: Takes the integer and the value so far, returns the next value.
        init_val: The value before the first step, a nested structure of tensors.

    Example:
        >>> import graphc
        >>> int(graphc.ops.fori_loop(0, 5, lambda i, total: total + i, 0))
        10
    """
    known = (int, SymbolicDim)
    if isinstance(lower, known) and isinstance(upper, known):
        steps = upper - lower
        if isinstance(steps, int):
            steps = max(steps, 0)
        start = (lower, init_val)
        last, _ = scan(
            lambda carry, _: ((carry[0] + 1, body_fun(*carry)), None),
            start,
            length=steps,
        )
    else:
        last = while_loop(
            lambda i, _: less(i, upper),
            lambda i, carry: (i + 1, body_fun(i, carry)),
            (lower, init_val),
        )
    return last[1]


@op
def while_loop(
    cond: Callable[..., Any],
    body: Callable[..., Any],
    loop_vars: Any,
    maximum_iterations: TensorLike | None = None,
) -> Any:
    """The loop variables after running `body` for as long as `cond` is true.

    A loop whose number of steps is not known has no gradient; `scan` and `fori_loop`
    have one.

    Args:
        cond: Takes the loop variables, returns a boolean scalar.
        body: Takes the loop variables, returns the next ones.
        loop_vars: The loop variables at the start, a nested structure of tensors. The
            items of a tuple or list are passed one by one.
        maximum_iterations: How many steps to run at most.

    Returns:
        The loop variables at the end; a tuple where `loop_vars` is a tuple or list.

    Raises:
        GraphError: If `body` returns other structures, shapes or dtypes than it takes,
            or `cond` something other than a boolean scalar.

    Example:
        >>> import graphc
        >>> int(graphc.ops.while_loop(lambda i: i < 10, lambda i: i + 3, 0))
        12
    """
    packed = isinstance(loop_vars, (tuple, list))
    init = (tuple(loop_vars) if packed else (loop_vars,), 0)

    def step(carry: Any, _: Any) -> Any:
        found = body(*carry[0])
        following = tuple(found) if isinstance(found, (tuple, list)) else (found,)
        return (following if packed else (found,), carry[1] + 1), ()

    def test(carry: Any) -> Any:
        more = cond(*carry[0])
        if maximum_iterations is None:
            return more
        return logical_and(more, less(carry[1], maximum_iterations))

    loop = _Loop(step, init, "body must return the loop variables that it takes")
    callee, _ = loop.body((), trees.structure(()))
    callee.graph.results = [*callee.results, *callee.read(loop.variables)]
    condition = _condition(test, loop)
    starts = loop.operands()
    captured = captured_operands(condition, callee)
    kept = callee.graph.parameters[callee.inputs :]
    callee.graph.results = [*callee.graph.results, *kept]
    found = ir_ops.while_(*starts, *captured, cond=condition.graph, body=callee.graph)
    last = loop.finish(as_tuple(found)[: len(starts)])[0]
    return last if packed else last[0]


def _condition(test: Callable[[Any], Any], loop: _Loop) -> Callee:
    """The condition of a loop as a callee that returns one bool."""
    callee = traced_callee(
        test,
        "cond",
        lambda given: (trees.unflatten(loop.structure, given),),
        loop.types,
        loop.variables,
    )
    if [type.shape for type in callee.types] != [()]:
        refuse("cond must return one boolean scalar", received=callee.outline())
    written = [v.path for v in callee.written if v not in loop.variables]
    if written:
        refuse(
            "cond must not assign to variables",
            received=", ".join(written),
            hint="assign in the body",
        )
    with callee.trace():
        callee.graph.results = [value(tensor(callee.results[0]), "bool")]
    return callee


# -- results ---------------------------------------------------------------------------


def filled(structure: Any) -> Callable[[list[TracedTensor]], Any]:
    """A function that puts tensors into a structure."""
    return lambda given: trees.unflatten(structure, given)


def wrapped(structure: Any, results: Sequence[Any]) -> Any:
    """A structure of the results of a node, as tensors."""
    return trees.unflatten(structure, [tensor(result) for result in results])


def _write(variables: Sequence[Variable], results: Sequence[Any]) -> None:
    outer = current_trace()
    assert outer is not None
    for variable, result in zip(variables, results, strict=True):
        outer.write(variable, tensor(result))
