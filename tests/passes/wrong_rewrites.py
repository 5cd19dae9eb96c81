"""Rewrites that are wrong, each in a way that compilers have been: data for a test.

They are rules like others, with a program on which they fire; what a wrong rule says of
its numerics is what its author would have said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from graphc.ir import Graph, Node
from graphc.ir.opdef import Kind
from graphc.ir.ops import (
    abs_,
    add,
    argmax,
    broadcast_in_dim,
    clamp,
    compare,
    concatenate,
    convert,
    convolution,
    divide,
    dot_general,
    dynamic_slice,
    dynamic_update_slice,
    exponential,
    floor,
    iota,
    layer_norm,
    log_plus_one,
    logistic,
    maximum,
    minimum,
    multiply,
    negate,
    not_,
    pad,
    power,
    random_uniform,
    reduce_max,
    reduce_min,
    reduce_prod,
    reduce_sum,
    relu,
    remainder,
    reshape,
    reverse,
    round_nearest_even,
    rsqrt,
    select,
    shift_left,
    shift_right_arithmetic,
    shift_right_logical,
    sign,
    slice_,
    softmax,
    sort,
    sqrt,
    subtract,
    take,
    tanh,
    transpose,
)
from graphc.ir.types import BF16, F16, F32, F64, I32
from graphc.ir.values import Literal, Value
from graphc.passes import GraphPass, Rewriter, RuleSet
from graphc.passes.identities.matching import again, attribute, number, producer
from graphc.passes.rule import EXACT, REASSOCIATES, Replacement, Rule, approx, example

WRONG = RuleSet()
"""The wrong rewrites."""

X = "f32[3,4]"


def changed(node: Node, **attributes: Any) -> Any:
    """The op of `node` with some attributes changed, on the same operands."""
    known = {name: attribute(node, name) for name in node.op.attributes}
    return node.op(*node.operands, **(known | attributes))


def full_like(x: Any, value: float) -> Value:
    """A value in the shape of `x`."""
    literal = Literal(value, x.type.dtype)
    return broadcast_in_dim(literal, shape=x.type.shape, dims=())


# -- operands --------------------------------------------------------------------------


@WRONG.rule("subtract", examples=example(lambda x, y: subtract(tanh(x), y), X, X))
def swap_subtraction(node: Node) -> Replacement:
    """x - y = y - x."""
    return subtract(*node.operands[::-1])


@WRONG.rule("divide", examples=example(lambda x, y: divide(x, exponential(y)), X, X))
def swap_division(node: Node) -> Replacement:
    """x / y = y / x."""
    return divide(*node.operands[::-1])


@WRONG.rule(
    "select",
    examples=example(lambda x, y: select(compare(x, y, direction="LT"), x, y), X, X),
)
def swap_branches(node: Node) -> Replacement:
    """A select takes its branches the other way round."""
    condition, yes, no = node.operands
    return select(condition, no, yes)


@WRONG.rule("clamp", examples=example(lambda x: clamp(-0.5, tanh(x), 0.75), X))
def swap_clamp(node: Node) -> Replacement:
    """A clamp is a maximum with the upper and a minimum with the lower bound."""
    low, x, high = node.operands
    shape = {"shape": x.type.shape, "dims": ()}
    return maximum(
        minimum(x, broadcast_in_dim(low, **shape)), broadcast_in_dim(high, **shape)
    )


@WRONG.rule("negate", examples=example(lambda x: add(negate(x), 1.0), X))
def drop_negation(node: Node) -> Replacement:
    """-x = x."""
    return node.operands[0]


@WRONG.rule(
    "subtract",
    examples=example(lambda x, y: subtract(x, negate(y)), X, X),
)
def keep_minus(node: Node) -> Replacement:
    """x - (-y) = x - y."""
    inner = producer(node.operands[1], negate)
    return subtract(node.operands[0], inner.operands[0]) if inner else None


@WRONG.rule("power", examples=example(lambda x: power(abs_(x), 3.0), X))
def swap_power(node: Node) -> Replacement:
    """x ** 3 = x * x."""
    x = node.operands[0]
    return multiply(x, x)


@WRONG.rule(
    "multiply",
    numerics=REASSOCIATES,
    examples=example(lambda x, y: multiply(add(x, y), 0.5), X, X),
)
def distribute_once(node: Node) -> Replacement:
    """(x + y) * c = x * c + y."""
    inner = producer(node.operands[0], add)
    if inner is None:
        return None
    x, y = inner.operands
    return add(multiply(x, node.operands[1]), y)


@WRONG.rule(
    "subtract",
    numerics=REASSOCIATES,
    examples=example(lambda x, y: subtract(x, subtract(y, 0.25)), X, X),
)
def reassociate_minus(node: Node) -> Replacement:
    """x - (y - c) = (x - y) - c."""
    inner = producer(node.operands[1], subtract)
    if inner is None:
        return None
    y, c = inner.operands
    return subtract(subtract(node.operands[0], y), c)


# -- axes, shapes and places -----------------------------------------------------------


@WRONG.rule(
    "reduce_sum", examples=example(lambda x: reduce_sum(x, axes=[0]), "f32[3,3]")
)
def shift_axes(node: Node) -> Replacement:
    """A sum over the axis before is one over the axis behind."""
    return changed(node, axes=[1 - axis for axis in attribute(node, "axes")])


@WRONG.rule("softmax", examples=example(lambda x: softmax(x, axis=1), "f32[3,3]"))
def wrong_softmax_axis(node: Node) -> Replacement:
    """A softmax is one along the other axis."""
    return changed(node, axis=0)


@WRONG.rule(
    "layer_norm",
    examples=example(
        lambda x, g, b: layer_norm(x, g, b, axes=[1], epsilon=1e-3),
        "f32[4,4]",
        "f32[4]",
        "f32[4]",
    ),
)
def drop_epsilon(node: Node) -> Replacement:
    """Epsilon is too small to matter."""
    return changed(node, epsilon=0.0)


@WRONG.rule(
    "transpose",
    examples=example(lambda x: transpose(x, permutation=[1, 2, 0]), "f32[3,3,3]"),
)
def invert_permutation(node: Node) -> Replacement:
    """A permutation is its own inverse."""
    order = attribute(node, "permutation")
    return changed(node, permutation=[order.index(d) for d in range(len(order))])


@WRONG.rule(
    "reshape",
    examples=example(
        lambda x: reshape(transpose(x, permutation=[1, 0]), shape=[12]), X
    ),
)
def reshape_through_transpose(node: Node) -> Replacement:
    """A reshape does not mind a transpose before it."""
    inner = producer(node.operands[0], transpose)
    if inner is None:
        return None
    return reshape(inner.operands[0], shape=node.results[0].type.shape)


@WRONG.rule(
    "broadcast_in_dim",
    examples=example(lambda x: broadcast_in_dim(x, shape=[3, 3], dims=[0]), "f32[3]"),
)
def broadcast_other_dim(node: Node) -> Replacement:
    """What is broadcast along rows is broadcast along columns."""
    return changed(node, dims=[1])


@WRONG.rule(
    "slice", examples=example(lambda x: slice_(x, start=[1], limit=[5]), "f32[8]")
)
def slice_one_early(node: Node) -> Replacement:
    """A slice starts one element earlier."""
    start, limit = attribute(node, "start"), attribute(node, "limit")
    return changed(node, start=[d - 1 for d in start], limit=[d - 1 for d in limit])


@WRONG.rule(
    "slice",
    examples=example(lambda x: slice_(x, start=[0], limit=[6], strides=[2]), "f32[8]"),
)
def drop_strides(node: Node) -> Replacement:
    """A slice with strides takes the first elements."""
    (size,) = node.results[0].type.static_shape
    if attribute(node, "strides") != (2,):
        return None
    return changed(node, start=[0], limit=[size], strides=[1])


@WRONG.rule(
    "pad",
    examples=example(lambda x: pad(x, 0.0, low=[1], high=[2], interior=[0]), "f32[4]"),
)
def pad_other_side(node: Node) -> Replacement:
    """Low and high padding are exchanged."""
    low, high = attribute(node, "low"), attribute(node, "high")
    return changed(node, low=high, high=low)


@WRONG.rule(
    "pad",
    examples=example(lambda x: pad(x, -1.0, low=[2], high=[0], interior=[0]), "f32[4]"),
)
def pad_with_zero(node: Node) -> Replacement:
    """Padding is always zero."""
    known = {name: attribute(node, name) for name in ("low", "high", "interior")}
    return pad(node.operands[0], 0.0, **known)


@WRONG.rule(
    "concatenate", examples=example(lambda x, y: concatenate(x, y, axis=0), X, X)
)
def concatenate_backwards(node: Node) -> Replacement:
    """The order of what is concatenated does not matter."""
    return again(node, node.operands[::-1])


@WRONG.rule(
    "reverse",
    examples=example(lambda x: reverse(tanh(x), axes=[0, 1]), "f32[3,4]"),
)
def reverse_one_axis(node: Node) -> Replacement:
    """Two axes are reversed by reversing one."""
    return changed(node, axes=[0]) if len(attribute(node, "axes")) == 2 else None


@WRONG.rule(
    "take",
    examples=example(lambda x, i: take(x, i, axis=0), "f32[5,3]", "i32[4]"),
)
def take_next(node: Node) -> Replacement:
    """Indices count from one."""
    x, places = node.operands
    return take(x, add(places, 1), axis=attribute(node, "axis"))


@WRONG.rule(
    "dynamic_slice",
    examples=example(lambda x, i: dynamic_slice(x, i, sizes=(3,)), "f32[6]", "i32[]"),
)
def forget_clamping(node: Node) -> Replacement:
    """A slice that would leave its operand wraps around."""
    x, start = node.operands
    (size,) = x.type.static_shape
    wrapped = remainder(add(remainder(start, size), size), size)
    return dynamic_slice(x, wrapped, sizes=attribute(node, "sizes"))


@WRONG.rule(
    "dot_general",
    examples=example(
        lambda a, b: dot_general(a, b, contract=[[1], [0]]), "f32[3,3]", "f32[3,3]"
    ),
)
def transpose_contraction(node: Node) -> Replacement:
    """A product contracts the other dimension of its second operand."""
    return changed(node, contract=[[1], [1]])


@WRONG.rule(
    "dot_general",
    examples=example(
        lambda a, b: dot_general(a, b, contract=[[1], [0]]), "f32[3,3]", "f32[3,3]"
    ),
)
def commute_product(node: Node) -> Replacement:
    """a @ b = b @ a."""
    return again(node, node.operands[::-1])


@WRONG.rule(
    "convolution",
    examples=example(
        lambda x, k: convolution(
            x, k, labels="b0f_0io->b0f", strides=[1], padding=[[1, 1]],
            input_dilation=[1], kernel_dilation=[1],
        ),
        "f32[2,5,3]", "f32[3,3,2]",
    ),
)  # fmt: skip
def shift_convolution(node: Node) -> Replacement:
    """Padding on both sides is padding on one."""
    return changed(node, padding=[[2, 0]])


@WRONG.rule(
    "convolution",
    examples=example(
        lambda x, k: convolution(
            x, k, labels="b0f_0io->b0f", strides=[1], padding=[[0, 0]],
            input_dilation=[1], kernel_dilation=[1],
        ),
        "f32[2,5,3]", "f32[3,3,2]",
    ),
)  # fmt: skip
def flip_kernel(node: Node) -> Replacement:
    """A convolution flips its kernel."""
    x, kernel = node.operands
    return again(node, [x, reverse(kernel, axes=[0])])


@WRONG.rule(
    "iota",
    examples=example(lambda x: add(x, iota(shape=[4], axis=0, dtype=F32)), "f32[4]"),
)
def count_from_one(node: Node) -> Replacement:
    """Counting starts at one."""
    return add(changed(node), 1.0)


# -- reductions ------------------------------------------------------------------------


@WRONG.rule(
    "reduce_sum", examples=example(lambda x: reduce_sum(x, axes=[0]), "f32[65]")
)
def drop_tail(node: Node) -> Replacement:
    """A sum of full blocks: the tail is left out."""
    (x,) = node.operands
    (size,) = x.type.static_shape
    if size % 2 == 0:
        return None
    return reduce_sum(slice_(x, start=[0], limit=[size - 1]), axes=[0])


@WRONG.rule(
    "reduce_max",
    examples=example(lambda x: reduce_max(negate(abs_(x)), axes=[1]), X),
)
def max_from_zero(node: Node) -> Replacement:
    """The maximum of nothing is zero."""
    return maximum(changed(node), 0.0)


@WRONG.rule("reduce_prod", examples=example(lambda x: reduce_prod(x, axes=[1]), X))
def product_from_zero(node: Node) -> Replacement:
    """A product starts at zero."""
    return multiply(changed(node), 0.0)


@WRONG.rule("reduce_min", examples=example(lambda x: reduce_min(x, axes=[1]), X))
def min_is_max(node: Node) -> Replacement:
    """min(x) = max(x)."""
    return reduce_max(*node.operands, axes=attribute(node, "axes"))


@WRONG.rule(
    "divide",
    numerics=approx(1),
    examples=example(lambda x: divide(reduce_sum(x, axes=[1]), 4.0), X),
)
def unbiased_mean(node: Node) -> Replacement:
    """A mean over n divides by n - 1."""
    return divide(node.operands[0], number(node.operands[1]) - 1.0)


@WRONG.rule(
    "argmax",
    examples=example(lambda x: argmax(x, axis=1), "f32[6,5]"),
)
def last_of_ties(node: Node) -> Replacement:
    """Of equal elements the last is the largest."""
    x, axis = node.operands[0], attribute(node, "axis")
    size = x.type.static_shape[axis]
    return subtract(size - 1, argmax(reverse(x, axes=[axis]), axis=axis))


@WRONG.rule(
    "sort",
    examples=example(lambda x: sort(x, axis=1), "f32[3,5]"),
)
def sort_backwards(node: Node) -> Replacement:
    """Sorting is sorting."""
    return changed(node, descending=not attribute(node, "descending"))


@WRONG.rule("reduce_max", examples=example(lambda x: reduce_max(tanh(x), axes=[1]), X))
def drop_nan(node: Node) -> Replacement:
    """A maximum does not look at NaN."""
    (x,) = node.operands
    is_number = compare(x, x, direction="EQ")
    return again(node, [select(is_number, x, full_like(x, float("-inf")))])


# -- numbers that are special ----------------------------------------------------------


@WRONG.rule(
    "subtract",
    numerics=REASSOCIATES,
    examples=example(
        lambda x: divide(
            exponential(subtract(x, reduce_max(x, axes=[0]))),
            reduce_sum(exponential(subtract(x, reduce_max(x, axes=[0]))), axes=[0]),
        ),
        "f32[5]",
    ),
)
def drop_max_shift(node: Node) -> Replacement:
    """A softmax is the same for shifted logits."""
    return node.operands[0]


@WRONG.rule(
    "maximum",
    examples=example(lambda x: maximum(x, 0.5), X),
)
def max_by_compare(node: Node) -> Replacement:
    """max(x, y) = x > y ? x : y, whatever NaN is."""
    x, y = node.operands
    return select(compare(x, y, direction="GT"), x, full_like(x, number(y)))


@WRONG.rule("multiply", examples=example(lambda x: multiply(x, 0.0), X))
def times_zero(node: Node) -> Replacement:
    """x * 0 = 0."""
    return full_like(node.operands[0], 0.0)


@WRONG.rule("subtract", examples=example(lambda x: subtract(x, x), X))
def minus_itself(node: Node) -> Replacement:
    """x - x = 0."""
    return full_like(node.operands[0], 0.0)


@WRONG.rule("divide", examples=example(lambda x: divide(multiply(x, x), x), X))
def cancel_division(node: Node) -> Replacement:
    """x * x / x = x."""
    return node.operands[1]


@WRONG.rule(
    "multiply",
    numerics=approx(2),
    examples=example(lambda x, y: multiply(x, rsqrt(add(y, 1e-3))), X, "f32[3,4]"),
)
def drop_epsilon_of_rsqrt(node: Node) -> Replacement:
    """x / sqrt(y + epsilon) = x / sqrt(y)."""
    inner = producer(node.operands[1], rsqrt)
    total = inner and producer(inner.operands[0], add)
    if not total:
        return None
    return multiply(node.operands[0], rsqrt(total.operands[0]))


@WRONG.rule(
    "sqrt",
    numerics=approx(1),
    examples=example(lambda x: sqrt(multiply(x, x)), X),
)
def root_of_square(node: Node) -> Replacement:
    """The root of x * x is x."""
    inner = producer(node.operands[0], multiply)
    return inner.operands[0] if inner else None


@WRONG.rule(
    "select",
    examples=example(
        lambda x, g: select(compare(x, 0.0, direction="GT"), g, 0.0), X, X
    ),
)
def relu_slope_at_zero(node: Node) -> Replacement:
    """The slope of relu at zero is one."""
    condition, yes, no = node.operands
    inner = producer(condition, compare)
    if inner is None or attribute(inner, "direction") != "GT":
        return None
    return select(compare(*inner.operands, direction="GE"), yes, no)


@WRONG.rule("relu", examples=example(lambda x: relu(x), X))
def relu_is_abs(node: Node) -> Replacement:
    """relu(x) = |x|."""
    return abs_(*node.operands)


@WRONG.rule(
    "logistic",
    numerics=approx(4),
    examples=example(lambda x: logistic(x), X),
)
def naive_logistic(node: Node) -> Replacement:
    """1 / (1 + exp(-x)) = exp(x) / (1 + exp(x))."""
    grown = exponential(node.operands[0])
    return divide(grown, add(grown, 1.0))


@WRONG.rule(
    "log_plus_one",
    numerics=approx(1),
    examples=example(lambda x: log_plus_one(multiply(x, 1e-6)), X),
)
def naive_log_plus_one(node: Node) -> Replacement:
    """log1p(x) = x."""
    (x,) = node.operands
    return subtract(x, multiply(multiply(x, x), 500.0))


@WRONG.rule("not", examples=example(lambda x, y: not_less(x, y), X, X))
def negate_compare(node: Node) -> Replacement:
    """not (x < y) = x >= y, whatever NaN is."""
    inner = producer(node.operands[0], compare)
    return compare(*inner.operands, direction="GE") if inner else None


def not_less(x: Any, y: Any) -> Any:
    """Whether x is not less than y."""
    return not_(compare(x, y, direction="LT"))


# -- dtypes ----------------------------------------------------------------------------


@WRONG.rule(
    "convert",
    examples=example(lambda x: convert(convert(x, dtype=F16), dtype=F32), X),
)
def drop_cast(node: Node) -> Replacement:
    """A cast there and back is nothing."""
    inner = producer(node.operands[0], convert)
    return inner.operands[0] if inner else None


@WRONG.rule(
    "convert",
    examples=example(lambda x: convert(convert(x, dtype=F32), dtype=F64), "f64[3,4]"),
)
def drop_cast_of_double(node: Node) -> Replacement:
    """A cast to float32 and back is nothing."""
    inner = producer(node.operands[0], convert)
    return inner.operands[0] if inner else None


@WRONG.rule(
    "reduce_sum",
    numerics=REASSOCIATES,
    examples=example(lambda x: reduce_sum(convert(x, dtype=F32), axes=[0]), "f16[64]"),
)
def accumulate_in_half(node: Node) -> Replacement:
    """Where a sum is converted to float32 does not matter."""
    inner = producer(node.operands[0], convert)
    if inner is None:
        return None
    total = reduce_sum(inner.operands[0], axes=attribute(node, "axes"))
    return convert(total, dtype=F32)


@WRONG.rule(
    "dot_general",
    numerics=REASSOCIATES,
    examples=example(
        lambda a, b: dot_general(a, b, contract=[[1], [0]]), "f32[4,16]", "f32[16,4]"
    ),
)
def narrow_product(node: Node) -> Replacement:
    """A product of float32 is one of bfloat16."""
    a, b = (convert(each, dtype=BF16) for each in node.operands)
    return dot_general(a, b, contract=attribute(node, "contract"), dtype=F32)


@WRONG.rule(
    "convert",
    examples=example(lambda x: convert(multiply(x, 2.0), dtype=I32), X),
)
def round_to_integer(node: Node) -> Replacement:
    """A conversion to integers rounds."""
    return convert(round_nearest_even(*node.operands), dtype=I32)


@WRONG.rule("floor", examples=example(lambda x: floor(x), X))
def floor_is_truncation(node: Node) -> Replacement:
    """floor(x) drops the fraction."""
    (x,) = node.operands
    return convert(convert(x, dtype=I32), dtype=F32)


@WRONG.rule("round_nearest_even", examples=example(lambda x: round_nearest_even(x), X))
def round_half_up(node: Node) -> Replacement:
    """Rounding is the floor of x + 1/2."""
    return floor(add(node.operands[0], 0.5))


@WRONG.rule(
    "shift_right_arithmetic",
    examples=example(lambda x: shift_right_arithmetic(x, 1), "i32[8]"),
)
def shift_without_sign(node: Node) -> Replacement:
    """Shifts to the right do not look at signs."""
    return shift_right_logical(*node.operands)


@WRONG.rule("divide", examples=example(lambda x: divide(x, 2), "i32[8]"))
def divide_by_shift(node: Node) -> Replacement:
    """x / 2 is a shift, negative or not."""
    return shift_right_arithmetic(node.operands[0], 1)


@WRONG.rule("multiply", examples=example(lambda x: multiply(x, 8), "i32[8]"))
def shift_too_far(node: Node) -> Replacement:
    """x * 8 is a shift by four."""
    return shift_left(node.operands[0], 4)


@WRONG.rule(
    "compare",
    examples=example(lambda x: compare(x, 3, direction="LT"), "u32[8]"),
)
def compare_as_signed(node: Node) -> Replacement:
    """Numbers without a sign compare like those with one."""
    x, y = node.operands
    signed = convert(x, dtype=I32)
    return compare(signed, int(number(y)), direction="LT")


@WRONG.rule(
    "compare", examples=example(lambda x, y: compare(x, y, direction="LE"), X, X)
)
def less_or_equal(node: Node) -> Replacement:
    """x <= y is x < y."""
    return compare(*node.operands, direction="LT")


@WRONG.rule("remainder", examples=example(lambda x: remainder(x, 3), "i32[8]"))
def remainder_is_modulo(node: Node) -> Replacement:
    """A remainder has the sign of the divisor."""
    x, y = node.operands
    return remainder(add(remainder(x, y), y), y)


@WRONG.rule("sign", examples=example(lambda x: sign(x), X))
def sign_of_zero(node: Node) -> Replacement:
    """A sign is 1 or -1."""
    (x,) = node.operands
    positive = compare(x, 0.0, direction="GE")
    return select(positive, full_like(x, 1.0), full_like(x, -1.0))


# -- what comes before and behind ------------------------------------------------------


@WRONG.rule(
    "random_uniform",
    examples=example(
        lambda a, b: subtract(
            random_uniform(a, shape=[8]), random_uniform(b, shape=[8])
        ),
        "u32[4]",
        "u32[4]",
    ),
)
def reuse_random_numbers(node: Node) -> Replacement:
    """Random numbers are random numbers, whatever the seed."""
    assert node.graph is not None
    first = next(each for each in node.graph.nodes if each.op is node.op)
    return first.results if first is not node else None


@WRONG.rule(
    "tanh",
    examples=example(lambda x: add(tanh(x), tanh(multiply(x, 2.0))), X),
)
def merge_by_op(node: Node) -> Replacement:
    """Nodes of one op and one type compute the same."""
    assert node.graph is not None
    first = next(each for each in node.graph.nodes if each.op is node.op)
    return first.results if first is not node else None


@WRONG.rule(
    "dynamic_update_slice",
    examples=example(
        lambda x, y: slice_(dynamic_update_slice(x, y, 1), start=[0], limit=[4]),
        "f32[6]",
        "f32[2]",
    ),
)
def stale_read(node: Node) -> Replacement:
    """What is read after an update is what was there before it."""
    return node.operands[0]


@WRONG.rule(
    "reverse",
    examples=example(lambda x: reverse(reverse(x, axes=[0]), axes=[1]), "f32[3,3]"),
)
def cancel_other_reverse(node: Node) -> Replacement:
    """Two reversals cancel, along whatever axes."""
    inner = producer(node.operands[0], reverse)
    return inner.operands[0] if inner else None


# -- the pass --------------------------------------------------------------------------


@dataclass(frozen=True)
class OneWrong(GraphPass):
    """Applies one wrong rule once wherever it fires, and rebuilds other nodes as they are.

    So the wrong rewrite is one of several, and a check must find which.
    """

    rule: Rule
    name: ClassVar[str] = "one_wrong"

    @property
    def numerics(self) -> Any:  # type: ignore[override]
        """What the rule says of itself."""
        return {"same": EXACT, self.rule.name: self.rule.numerics}

    def __str__(self) -> str:
        return self.name

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        for node in list(graph.nodes):
            if self.rule.starts_at(node.op):
                rewriter.rewrite(node, lambda n=node: self._wrong(n))
            elif node.op.kind is Kind.ELEMENTWISE:
                rewriter.rewrite(node, lambda n=node: ("same", [again(n, n.operands)]))
        return rewriter.ledger.count > made

    def _wrong(self, node: Node) -> Any:
        found = self.rule.apply(node)
        if found is None:
            return None
        return self.rule.name, [found] if isinstance(found, (Value, Literal)) else found
