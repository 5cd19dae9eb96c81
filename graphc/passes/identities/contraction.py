"""Identities of dots and convolutions, on every backend.

What a product reads or gives in another order it may as well read or give directly: the
terms of each sum stay the same. `FOLDING` moves what scales and shifts features into
weights, for inference.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from graphc.ir.graph import Node
from graphc.ir.opdef import Trait
from graphc.ir.ops import (
    add,
    broadcast_in_dim,
    constant,
    convolution,
    divide,
    dot_general,
    multiply,
    negate,
    pad,
    subtract,
    transpose,
)
from graphc.ir.ops.convolutions import parse_labels
from graphc.ir.values import Operand
from graphc.passes.identities.matching import (
    again,
    attribute,
    is_number,
    only_use,
    producer,
)
from graphc.passes.rule import (
    REASSOCIATES,
    Example,
    Replacement,
    RuleSet,
    approx,
    example,
    register_rules,
)

RULES = RuleSet()

CONTRACTIONS = dot_general, convolution

_MATMUL = [[1], [0]]


# -- order of dimensions ---------------------------------------------------------------


@RULES.rule(
    "dot_general",
    numerics=approx(1),
    examples=[
        *example(
            lambda x, y: dot_general(
                transpose(x, permutation=[1, 0]), y, contract=_MATMUL
            ),
            "T[3,2]",
            "T[3,4]",
        ),
        *example(
            lambda x, y: dot_general(
                x,
                transpose(y, permutation=[0, 2, 1, 3]),
                contract=[[2], [3]],
                batch=[[0, 1], [0, 1]],
            ),
            "f32[2,3,4]",
            "f32[2,5,3,4]",
        ),
    ],
)
def dot_of_transposed(node: Node) -> Replacement:
    """A dot of a transposed operand is one along other dimensions of the operand."""
    operands = list(node.operands)
    contract, batch = _pairs(node, "contract"), _pairs(node, "batch")
    for side, operand in enumerate(node.operands):
        inner = producer(operand, transpose)
        if inner is None:
            continue
        permutation = attribute(inner, "permutation")
        taken = (*contract[side], *batch[side])
        free = [p for d, p in enumerate(permutation) if d not in taken]
        if free == sorted(free):
            operands[side] = inner.operands[0]
            contract[side] = [permutation[d] for d in contract[side]]
            batch[side] = [permutation[d] for d in batch[side]]
    if operands == list(node.operands):
        return None
    dtype = attribute(node, "dtype")
    return dot_general(*operands, contract=contract, batch=batch, dtype=dtype)


def _pairs(node: Node, name: str) -> list[list[int]]:
    return [list(dims) for dims in attribute(node, name)]


@RULES.rule(
    "transpose",
    numerics=approx(0),
    reads=("dot_general",),
    examples=[
        *example(
            lambda x, y: transpose(
                dot_general(x, y, contract=_MATMUL), permutation=[1, 0]
            ),
            "T[2,3]",
            "T[3,4]",
        ),
        *example(
            lambda x, y: transpose(
                dot_general(x, y, contract=[[2], [3]], batch=[[0, 1], [1, 0]]),
                permutation=[1, 0, 2],
            ),
            "f32[2,3,4]",
            "f32[3,2,5,4]",
        ),
    ],
)
def transposed_dot(node: Node) -> Replacement:
    """A transposed dot that nothing else reads is one of its operands in another order."""
    inner = producer(node.operands[0], dot_general)
    if inner is None or not only_use(inner.result):
        return None
    contract, batch = _pairs(inner, "contract"), _pairs(inner, "batch")
    order = list(attribute(node, "permutation"))
    outer = len(batch[0])
    split = inner.operands[0].type.rank - len(contract[0])
    straight = list(range(outer, len(order)))
    swapped = [*range(split, len(order)), *range(outer, split)]
    if sorted(order[:outer]) != list(range(outer)):
        return None
    if order[outer:] not in (straight, swapped):
        return None
    batch = [[dims[i] for i in order[:outer]] for dims in batch]
    operands = list(inner.operands)
    if order[outer:] != straight:
        operands.reverse()
        contract.reverse()
        batch.reverse()
    dtype = attribute(inner, "dtype")
    return dot_general(*operands, contract=contract, batch=batch, dtype=dtype)


@RULES.rule(
    "convolution",
    reads=("pad",),
    examples=[
        *example(
            lambda x, w: convolution(
                pad(x, 0, low=[0, 1, 2, 0], high=[0, 1, 0, 0]),
                w,
                labels="b01f_01io->b01f",
                strides=[2, 1],
                padding=[[0, 1], [0, 0]],
                input_dilation=[1, 1],
                kernel_dilation=[1, 1],
            ),
            "f32[2,5,4,3]",
            "f32[3,2,3,4]",
        ),
        *example(
            lambda x, w: convolution(
                pad(x, 0, low=[0, 0, 1], high=[0, 0, 0], interior=[0, 0, 1]),
                w,
                labels="bf0_oi0->bf0",
                strides=[1],
                padding=[[0, 0]],
                input_dilation=[1],
                kernel_dilation=[1],
            ),
            "f32[2,3,4]",
            "f32[5,3,2]",
        ),
    ],
)
def convolution_of_padded(node: Node) -> Replacement:
    """A convolution pads with zeros itself."""
    x, kernel = node.operands
    inner = producer(x, pad)
    if inner is None or not is_number(inner.operands[1], 0):
        return None
    attributes = node.op.decode(node.attributes, None)
    spatial = parse_labels(attributes["labels"])[0].spatial
    low, high = attribute(inner, "low"), attribute(inner, "high")
    interior = attribute(inner, "interior") or (0,) * len(low)
    amounts = list(zip(low, high, interior, strict=True))
    if any(each != (0, 0, 0) for d, each in enumerate(amounts) if d not in spatial):
        return None
    padding: list[tuple[int, int]] = []
    dilation: list[int] = []
    for i, d in enumerate(spatial):
        before, after, gap = amounts[d]
        first, last = attributes["padding"][i]
        stretch = attributes["input_dilation"][i]
        fits = isinstance(before, int) and isinstance(after, int)
        if (
            not fits
            or min(before, after) < 0
            or (stretch > 1 and amounts[d] != (0,) * 3)
        ):
            return None
        padding.append((before + first, after + last))
        dilation.append(stretch * (gap + 1))
    changed = {**attributes, "padding": padding, "input_dilation": dilation}
    return convolution(inner.operands[0], kernel, **changed)


# -- factors ---------------------------------------------------------------------------


@RULES.rule(
    "dot_general",
    "convolution",
    numerics=REASSOCIATES,
    examples=[
        *example(
            lambda x, y: dot_general(multiply(x, 0.3), y, contract=_MATMUL),
            "f32[4,8]",
            "f32[8,2]",
        ),
        *example(
            lambda x, y, s: dot_general(x, divide(y, s), contract=_MATMUL),
            "f32[2,8]",
            "f32[8,4]",
            "f32[]",
        ),
    ],
)
def scale_product(node: Node) -> Replacement:
    """`(x * s) @ y = (x @ y) * s` for scalars s, if the product is smaller than x."""
    for side, operand in enumerate(node.operands):
        inner = producer(operand, multiply, divide, negate)
        if inner is None or not only_use(operand) or not _fewer(node.result, operand):
            continue
        x, *factor = inner.operands
        if factor and (factor[0].type.shape or not x.type.shape):
            continue
        operands = list(node.operands)
        operands[side] = x
        product = node.op(*operands, **node.op.decode(node.attributes, None))
        if factor and factor[0].type.dtype is not node.result.dtype:
            continue  # the product is summed in a wider dtype
        return inner.op(product, *factor)
    return None


@RULES.rule(
    "multiply",
    "divide",
    "negate",
    numerics=REASSOCIATES,
    reads=(
        "dot_general",
        "convolution",
    ),
    examples=[
        *example(
            lambda x, y: multiply(dot_general(x, y, contract=_MATMUL), 0.3),
            "f32[8,2]",
            "f32[2,8]",
        ),
        *example(
            lambda x, y: negate(dot_general(x, y, contract=[[], []])),
            "f32[4]",
            "f32[3]",
        ),
    ],
)
def scale_factor(node: Node) -> Replacement:
    """`(x @ y) * s = (x * s) @ y` for scalars s, if x is smaller than the product."""
    result, *factor = node.operands
    if not result.type.shape or any(s.type.shape for s in factor):
        return None
    inner = producer(result, *CONTRACTIONS)
    if inner is None or not only_use(result):
        return None
    operands = list(inner.operands)
    if operands[0].type.dtype is not node.result.dtype:
        return None
    sizes = [operand.type.size for operand in operands]
    side = int(_is_less(sizes[1], sizes[0]))
    if not _fewer(operands[side], result):
        return None
    operands[side] = node.op(operands[side], *factor)
    return inner.op(*operands, **inner.op.decode(inner.attributes, None))


def _fewer(a: Operand, b: Operand) -> bool:
    """Whether `a` is known to have fewer elements than `b`."""
    return _is_less(a.type.size, b.type.size)


def _is_less(a: object, b: object) -> bool:
    return isinstance(a, int) and isinstance(b, int) and a < b


# -- features, for inference -----------------------------------------------------------

FOLDING = RuleSet()
"""What puts scales and shifts of features into the weights before them."""

CHEAPER = 4
"""How many times smaller than the result weights must be to be scaled in each call."""


def _example(program: Callable[..., Any]) -> list[Example]:
    """An example on products of `x @ w`, and of a convolution of one channel by w."""

    def dotted(x: Any, w: Any, s: Any, t: Any) -> Any:
        return program(dot_general(x, w, contract=_MATMUL), s, t)

    def convolved(x: Any, w: Any, s: Any, t: Any) -> Any:
        product = convolution(
            x,
            w,
            labels="b0f_0io->bf0",
            strides=[1],
            padding=[[0, 0]],
            input_dilation=[1],
            kernel_dilation=[1],
        )
        return program(product, s, t)

    return [
        Example(("f32[16,2]", "f32[2,4]", "f32[4]", "f32[4]"), dotted),
        Example(("f32[4,16,1]", "f32[2,1,4]", "f32[4]", "f32[4]"), convolved),
    ]


def _features(s: Any, like: Any) -> Any:
    return broadcast_in_dim(s, shape=like.type.shape, dims=[1])


@FOLDING.rule(
    "multiply",
    numerics=REASSOCIATES,
    reads_any=tuple(op.name for op in CONTRACTIONS),
    examples=_example(lambda y, s, t: multiply(y, _features(s, y))),
)
def scale_weights(node: Node) -> Replacement:
    """`(x @ w) * s = x @ (w * s)` if s scales features and scaling w costs less."""
    found = _scaled_features(node)
    if found is None or why_dear(node) is not None:
        return None
    inner, scale, dims = found
    x, w = inner.operands
    spread = broadcast_in_dim(*scale.operands, shape=w.type.shape, dims=dims)
    attributes = inner.op.decode(inner.attributes, None)
    return inner.op(x, multiply(w, spread), **attributes)


def why_dear(node: Node) -> str | None:
    """Why scaling weights costs more than what `node` does; None if it does not.

    None too if `node` is no product whose features are scaled.
    """
    found = _scaled_features(node)
    if found is None:
        return None
    inner, scale, _ = found
    weights = inner.operands[1]
    if producer(weights, constant) and producer(scale.operands[0], constant):
        return None
    if _is_less(CHEAPER * weights.type.size, node.result.type.size + 1):
        return None
    return f"weights of {weights.type} would be scaled in each call"


def _scaled_features(node: Node) -> tuple[Node, Node, list[int]] | None:
    """A product of weights, a broadcast that scales it, the weights' dimensions of that."""
    if node.op is not multiply or (found := _with_features(node)) is None:
        return None
    product, scale = found
    inner = producer(product, *CONTRACTIONS)
    if inner is None or not only_use(product):
        return None
    if inner.operands[1].type.dtype is not node.result.dtype:
        return None
    places = _feature_places(inner)
    dims = attribute(scale, "dims")
    if not all(d in places for d in dims):
        return None
    return inner, scale, [places[d] for d in dims]


def _feature_places(inner: Node) -> dict[int, int]:
    """Which dimension of the weights each dimension of features of a product is."""
    attributes = inner.op.decode(inner.attributes, None)
    if inner.op is dot_general:
        rank = inner.operands[1].type.rank
        taken = (*attributes["contract"][1], *attributes["batch"][1])
        free = [d for d in range(rank) if d not in taken]
        first = inner.result.type.rank - len(free)
        return {first + i: d for i, d in enumerate(free)}
    _, of_kernel, of_result = parse_labels(attributes["labels"])
    return {of_result.inner: of_kernel.outer} if attributes["batch_groups"] == 1 else {}


def _with_features(node: Node) -> tuple[Operand, Node] | None:
    """The operands of `node` if one is the broadcast of a smaller tensor, that last."""
    x, y = node.operands
    for one, other in ((x, y), (y, x)):
        spread = producer(other, broadcast_in_dim)
        if spread is not None and _fewer(spread.operands[0], other):
            swapped = one is not x
            if swapped and Trait.COMMUTATIVE not in node.op.traits:
                return None
            return (one, spread) if one.type.shape else None
    return None


@FOLDING.rule(
    "multiply",
    numerics=REASSOCIATES,
    reads_any=("broadcast_in_dim",),
    examples=[
        *_example(
            lambda y, s, t: multiply(add(y, _features(t, y)), _features(s, y)),
        ),
        *_example(
            lambda y, s, t: multiply(subtract(y, _features(t, y)), _features(s, y)),
        ),
    ],
)
def scale_then_shift(node: Node) -> Replacement:
    """`(x @ w + t) * s = (x @ w) * s + t * s` if s and t are of features."""
    if (found := _shifted_product(node)) is None:
        return None
    shifted, product, shift, scale = found
    moved = multiply(shift.operands[0], scale.operands[0])
    return shifted.op(multiply(product, scale.result), again(scale, [moved]))


@FOLDING.rule(
    "add",
    numerics=REASSOCIATES,
    reads_any=("broadcast_in_dim",),
    examples=[
        *_example(
            lambda y, s, t: add(
                add(multiply(y, _features(s, y)), _features(t, y)), _features(s, y)
            ),
        ),
        *_example(
            lambda y, s, t: add(subtract(y, _features(t, y)), _features(s, y)),
        ),
    ],
)
def shift_once(node: Node) -> Replacement:
    """`(x @ w + s) + t = x @ w + (s + t)` if s and t are of features."""
    if (found := _shifted_product(node)) is None:
        return None
    shifted, product, shift, second = found
    both = shifted.op(second.operands[0], shift.operands[0])
    return add(product, again(second, [both]))


def _shifted_product(node: Node) -> tuple[Node, Operand, Node, Node] | None:
    """What `(product + shift) op other` is made of, if both are of features.

    Returns:
        The addition or subtraction of the shift, the product, and the broadcasts of
        the shift and of the other operand.
    """
    outer = _with_features(node)
    shifted = producer(outer[0], add, subtract) if outer is not None else None
    if outer is None or shifted is None or not only_use(shifted.result):
        return None
    inner = _with_features(shifted)
    if inner is None or not _alike(inner[1], outer[1]) or not _is_product(inner[0]):
        return None
    return shifted, inner[0], inner[1], outer[1]


def _alike(a: Node, b: Node) -> bool:
    """Whether two broadcasts spread operands of one shape in the same way."""
    same = a.operands[0].type.shape == b.operands[0].type.shape
    return same and a.attributes == b.attributes


def _is_product(operand: Operand) -> bool:
    """Whether `operand` is a product, or a scaled one, that nothing else reads."""
    if not only_use(operand):
        return False
    scaled = producer(operand, multiply)
    if scaled is not None and (found := _with_features(scaled)) is not None:
        return _is_product(found[0])
    return producer(operand, *CONTRACTIONS) is not None


register_rules("fold_inference", FOLDING)
