"""One or more example calls of every function in ops, for Keras and for graphc."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

RNG = np.random.default_rng(7)
BATCH = 4
"""The size of dimension 0 of arrays that are traced with a symbolic batch."""


def floats(*shape: int, low: float = -2.0, high: float = 2.0) -> np.ndarray:
    return RNG.uniform(low, high, shape).astype(np.float32)


def integers(*shape: int, low: int = -9, high: int = 9) -> np.ndarray:
    return RNG.integers(low, high, shape).astype(np.int32)


def bools(*shape: int) -> np.ndarray:
    return RNG.random(shape) < 0.5


def spd(rows: np.ndarray) -> np.ndarray:
    return rows / rows.sum(axis=-1, keepdims=True)


X = floats(BATCH, 3)
Y = floats(BATCH, 3)
ROW = floats(3)
CUBE = floats(BATCH, 2, 3)
N = integers(BATCH, 3)
M = integers(BATCH, 3)
POSITIVE = floats(BATCH, 3, low=0.2, high=3.0)
UNIT = floats(BATCH, 3, low=-0.95, high=0.95)
MASK = bools(BATCH, 3)
OTHER_MASK = bools(BATCH, 3)
COUNTS = integers(BATCH, 3, low=0, high=9)
UNSIGNED = RNG.integers(0, 200, (BATCH, 3)).astype(np.uint8)
NARROW = RNG.integers(-99, 99, (BATCH, 3)).astype(np.int8)
SPECIAL = np.array([1.5, -0.0, np.inf, -np.inf, np.nan, -2.5], np.float32)
OTHER_SPECIAL = np.array([1.5, 0.0, np.inf, np.inf, np.nan, 2.5], np.float32)
IMAGE = floats(BATCH, 7, 6, 4)
LINE = floats(BATCH, 9, 4)
VOLUME = floats(BATCH, 4, 5, 3, 2)
PROBABILITIES = spd(floats(BATCH, 5, low=0.1, high=1.0))
TARGETS = spd(floats(BATCH, 5, low=0.1, high=1.0))
LABELS = integers(BATCH, low=0, high=5)
ZEROS_AND_ONES = bools(BATCH, 3).astype(np.float32)


@dataclass(frozen=True, eq=False)
class Example:
    """A call of one function. `batched`: also with a symbolic dimension 0."""

    name: str
    arguments: tuple[Any, ...]
    keywords: dict[str, Any] = field(default_factory=dict)
    batched: bool = False


EXAMPLES: list[Example] = []


def add(name: str, *arguments: Any, **keywords: Any) -> None:
    EXAMPLES.append(Example(name, arguments, keywords))


def batched(name: str, *arguments: Any, **keywords: Any) -> None:
    EXAMPLES.append(Example(name, arguments, keywords, batched=True))


# -- elementwise -----------------------------------------------------------------------

for _name in (
    *("exp", "exp2", "expm1", "sin", "cos", "tan", "sinh", "cosh", "tanh", "arctan"),
    *("arcsinh", "erf", "erfc", "sigmoid", "log_sigmoid", "silu", "swish", "mish"),
    *("softplus", "softsign", "squareplus", "tanh_shrink", "hard_sigmoid"),
    *("hard_silu", "hard_swish", "hard_tanh", "hard_shrink", "soft_shrink", "relu"),
    *("relu6", "leaky_relu", "elu", "celu", "selu", "gelu", "negative", "abs"),
    *("absolute", "fabs", "sign", "square", "floor", "ceil", "trunc", "round"),
    *("cbrt", "deg2rad", "rad2deg", "reciprocal", "isnan", "isfinite", "isinf"),
    *("isposinf", "isneginf", "logical_not", "signbit"),
):
    batched(_name, X * 3)
for _name in ("log", "log2", "log10", "log1p", "sqrt", "rsqrt"):
    batched(_name, POSITIVE)
for _name in ("arcsin", "arccos", "arctanh", "erfinv"):
    batched(_name, UNIT)
batched("arccosh", POSITIVE + 1)
for _name in ("arcsinh", "sinh", "cosh"):
    add(_name, np.array([-80, -1e-4, 0, 1e-4, 80], np.float32))
add("arcsinh", np.array([1e30, -1e30, 1e15, 3e3], np.float32))
add("arccosh", np.array([1, 1.0001, 1e30], np.float32))
for _name in ("isnan", "isfinite", "isinf", "isposinf", "isneginf", "nan_to_num"):
    add(_name, SPECIAL)
    add(_name, N)
    add(_name, MASK)
add("nan_to_num", SPECIAL, nan=1.0, posinf=2.0, neginf=-3.0)
add("signbit", SPECIAL)
add("signbit", N)
for _name in ("exp", "sqrt", "tanh", "floor", "sign", "abs", "square", "relu", "trunc"):
    add(_name, COUNTS)
for _name in ("abs", "square", "exp", "relu", "hard_tanh", "trunc", "negative", "sign"):
    add(_name, UNSIGNED)
for _name in ("abs", "square", "exp", "relu", "hard_tanh", "trunc"):
    add(_name, MASK)
add("round", X * 100, decimals=1)
add("round", X * 100, decimals=-1)
add("round", np.array([0.5, 1.5, 2.5, -0.5], np.float32))
add("round", N)
add("gelu", X, approximate=False)
add("leaky_relu", X, negative_slope=0.3)
add("elu", X, alpha=0.5)
add("celu", X, alpha=0.5)
add("hard_shrink", X, threshold=1.0)
add("soft_shrink", X, threshold=1.0)
add("squareplus", X, b=2)
batched("threshold", X, 0.5, -1.0)
batched("glu", floats(BATCH, 6))
add("glu", floats(6, 3), axis=0)

for _name in ("add", "subtract", "multiply", "divide", "true_divide", "maximum"):
    batched(_name, X, Y)
    batched(_name, CUBE, ROW)
    add(_name, N, 2)
    add(_name, N, 2.5)
    add(_name, 3, X)
    add(_name, NARROW, UNSIGNED)
for _name in ("minimum", "logaddexp", "logaddexp2", "hypot", "arctan2", "heaviside"):
    batched(_name, X, Y)
    add(_name, X, ROW)
for _name in ("add", "multiply", "maximum", "minimum"):
    add(_name, MASK, OTHER_MASK)
add("minimum", N, M)
add("arctan2", SPECIAL[:4], OTHER_SPECIAL[:4])
add("logaddexp", SPECIAL, OTHER_SPECIAL)
add("heaviside", SPECIAL, 0.5)
add("hypot", np.float32([3e30, 0.0]), np.float32([4e30, 0.0]))
for _name in ("floor_divide", "mod"):
    batched(_name, X * 9, Y)
    add(_name, N, np.where(M == 0, 3, M))
    add(_name, N, 4)
    add(_name, N, -4)
    add(_name, X, 0.1)
    add(_name, UNSIGNED, np.uint8(7))
batched("divide_no_nan", X, ZEROS_AND_ONES)
add("divide_no_nan", N, 0)
batched("power", POSITIVE, Y)
for _exponent in (0, 1, 2, 3, 5, 0.5, -1):
    add("power", POSITIVE, _exponent)
add("power", N, 2)
add("power", N, 5)
add("power", NARROW, np.int8(3))
add("power", N, COUNTS)
add("power", 2.0, X)
batched("clip", X, -0.5, 1.0)
add("clip", N, 0, 3)
add("clip", N, 0.5, 3.5)
add("clip", MASK, 0, 1)

# -- logic -----------------------------------------------------------------------------

for _name in ("equal", "not_equal", "less", "less_equal", "greater", "greater_equal"):
    batched(_name, N, M)
    add(_name, X, ROW)
    add(_name, N, 0.5)
    add(_name, SPECIAL, OTHER_SPECIAL)
for _name in ("isclose", "allclose"):
    add(_name, SPECIAL, OTHER_SPECIAL)
    add(_name, SPECIAL, SPECIAL, equal_nan=True)
    add(_name, X, X + 1e-6, rtol=1e-3)
    add(_name, N, M)
for _name in ("logical_and", "logical_or", "logical_xor"):
    batched(_name, MASK, OTHER_MASK)
    add(_name, N, X)
    add(_name, MASK, True)
add("logical_not", N)
for _name in ("bitwise_and", "bitwise_or", "bitwise_xor"):
    batched(_name, N, M)
    add(_name, UNSIGNED, np.uint8(15))
    add(_name, MASK, OTHER_MASK)
for _name in ("bitwise_not", "bitwise_invert"):
    add(_name, N)
    add(_name, UNSIGNED)
    add(_name, MASK)
for _name in ("bitwise_left_shift", "left_shift", "bitwise_right_shift", "right_shift"):
    add(_name, N, COUNTS)
    add(_name, UNSIGNED, np.uint8(3))
batched("where", MASK, X, Y)
add("where", MASK, X, 1.5)
add("where", MASK, N, 0.5)
add("where", N, X, N)
add("where", True, X, Y)
batched("select", [X > 1, X < 0], [X, Y], 7)
add("select", [MASK, OTHER_MASK], [N, N + 1], default=0)

# -- reductions ------------------------------------------------------------------------

for _name in ("sum", "mean", "prod", "max", "min", "var", "std", "amax", "amin", "ptp"):
    batched(_name, CUBE)
    batched(_name, CUBE, axis=1)
    batched(_name, CUBE, axis=(0, -1), keepdims=True)
    add(_name, N, axis=0)
    if _name != "ptp":
        add(_name, MASK, axis=1)
    add(_name, UNSIGNED, axis=1, keepdims=True)
    add(_name, NARROW)
add("max", X, initial=5.0)
add("min", np.zeros((0, 2), np.float32), axis=0, initial=3.0)
add("prod", N, axis=1, dtype="float32")
for _name in ("all", "any"):
    batched(_name, MASK, axis=1)
    add(_name, N)
    add(_name, CUBE, axis=(0, 2), keepdims=True)
for _name in ("argmax", "argmin"):
    batched(_name, CUBE, axis=1)
    add(_name, CUBE)
    add(_name, CUBE, axis=-1, keepdims=True)
    add(_name, CUBE, keepdims=True)
    add(_name, COUNTS, axis=0)
batched("average", X, axis=1)
batched("average", X, axis=1, weights=POSITIVE)
add("average", X, axis=-1, weights=np.float32([1, 2, 3]))
add("average", N)
batched("moments", CUBE, axes=(0, 2))
add("moments", CUBE, axes=1, keepdims=True)
batched("logsumexp", CUBE, axis=1)
add("logsumexp", X)
add("logsumexp", X, axis=(0, 1), keepdims=True)
batched("count_nonzero", N, axis=1)
add("count_nonzero", MASK)
for _ord in (None, 1, 2, 3, 0, math.inf, -math.inf):
    add("norm", X, ord=_ord, axis=1)
for _ord in (None, "fro", 1, -1, math.inf, -math.inf):
    add("norm", CUBE, ord=_ord, axis=(1, 2), keepdims=True)
add("norm", X)
add("norm", N)
batched("normalize", X)
add("normalize", X, axis=0, order=1)
add("normalize", np.zeros((2, 3), np.float32))
for _name in ("cumsum", "cumprod"):
    batched(_name, CUBE, axis=1)
    add(_name, X)
    add(_name, N, axis=-1)
    add(_name, MASK, axis=0)
    add(_name, NARROW, axis=1, dtype="float32")
for _name in ("sort", "argsort"):
    batched(_name, X)
    add(_name, CUBE, axis=1)
    add(_name, COUNTS, axis=None)
    add(_name, SPECIAL)
batched("top_k", X, 2)
add("top_k", COUNTS, 3)
batched("in_top_k", LABELS, PROBABILITIES, 2)
add("in_top_k", np.int32([7, 1]), PROBABILITIES[:2], k=5)
add("searchsorted", np.float32([1, 2, 2, 3]), np.float32([[0, 2], [2.5, 9]]))
add("searchsorted", np.int32([1, 2, 2, 3]), np.int32([2, 4]), side="right")

# -- arrangement -----------------------------------------------------------------------

add("reshape", CUBE, (2, -1))
batched("reshape", CUBE, (-1, 6))
add("reshape", np.zeros((0, 3), np.float32), (-1, 3))
batched("ravel", CUBE)
for _axis in (0, -1, (0, 2)):
    batched("expand_dims", X, axis=_axis)
add("squeeze", floats(1, 3, 1))
batched("squeeze", floats(BATCH, 1, 3), axis=1)
batched("broadcast_to", ROW, (5, 3))
add("broadcast_to", floats(3, 1), (2, 3, 4))
batched("transpose", CUBE)
batched("transpose", CUBE, axes=(2, 0, 1))
batched("swapaxes", CUBE, 0, -1)
batched("moveaxis", CUBE, 0, -1)
add("moveaxis", CUBE, (0, 1), (-1, -2))
batched("flip", CUBE, axis=1)
add("flip", CUBE)
batched("fliplr", CUBE)
add("flipud", CUBE)
for _turns in (-1, 0, 1, 2, 3):
    add("rot90", X, k=_turns)
add("rot90", CUBE, axes=(1, 2))
for _axis, _shift in ((None, 2), (0, 1), (1, -1), ((0, 1), (2, 5))):
    add("roll", X, _shift, axis=_axis)
batched("roll", CUBE, 1, axis=1)
batched("split", floats(BATCH, 6), 3, axis=1)
add("split", floats(6, 2), [1, 4])
add("split", floats(6, 2), np.array([2, 5]))
add("array_split", floats(7, 2), 3)
add("hsplit", floats(4, 4), 2)
add("hsplit", floats(4), 2)
add("vsplit", floats(4, 4), [1])
batched("unstack", CUBE, axis=1)
add("unstack", CUBE, 4)
batched("diff", CUBE)
add("diff", N, n=2, axis=0)
batched("concatenate", [X, Y], axis=1)
batched("concatenate", [X, Y])
add("concatenate", [X, N], axis=0)
add("append", X, Y)
batched("append", X, N, axis=1)
batched("stack", [X, Y], axis=1)
add("stack", [X, N])
batched("hstack", [X, Y])
add("hstack", [ROW, ROW])
add("vstack", [ROW, ROW])
batched("vstack", [X, Y])
add("dstack", [X, Y])
add("dstack", [ROW, ROW])
add("meshgrid", ROW, floats(2))
add("meshgrid", ROW, floats(2), floats(4), indexing="ij")
batched("tile", X, (1, 2))
add("tile", X, 2)
add("tile", ROW, (2, 1, 2))
batched("repeat", X, 2, axis=1)
add("repeat", X, 3)
add("repeat", X, np.int32([1, 0, 2]), axis=1)
batched("pad", X, ((0, 0), (1, 2)))
add("pad", X, 1, constant_values=2.0)
add("pad", N, ((1, 0), (0, 1)), constant_values=3)
for _mode in ("reflect", "symmetric"):
    add("pad", X, ((2, 1), (1, 2)), mode=_mode)
batched("pad", CUBE, ((0, 0), (0, 0), (2, 2)), mode="reflect")
batched("space_to_depth", floats(BATCH, 4, 6, 3), 2)
add("space_to_depth", floats(2, 3, 4, 6), 2, data_format="channels_first")
batched("depth_to_space", floats(BATCH, 2, 3, 8), 2)
add("depth_to_space", floats(2, 8, 2, 3), 2, data_format="channels_first")

# -- creation --------------------------------------------------------------------------

add("zeros", (2, 3))
add("zeros", 2, dtype="int32")
add("ones", (2, 3))
add("ones", (2,), dtype="bool")
add("empty", (2, 0))
add("full", (2, 3), 2.5)
add("full", (2, 3), ROW)
add("full", (2,), 3, dtype="int8")
for _name in ("zeros_like", "ones_like"):
    batched(_name, N)
    add(_name, X, dtype="int32")
batched("full_like", N, 3)
add("empty_like", np.zeros((2, 0), np.float32))
for _arguments in ((5,), (2, 7), (2, 9, 3), (5, 0, -2), (0.0, 1.0, 0.3), (3, 3)):
    add("arange", *_arguments)
add("arange", 4, dtype="float32")
add("linspace", 0, 1, 5)
add("linspace", 0.0, 1.0, 5, endpoint=False)
add("linspace", X, Y, 3)
add("linspace", ROW, 2.0, 3, axis=-1)
add("linspace", 0, 9, 4, dtype="int32")
add("linspace", 0.0, 1.0, 5, retstep=True)
add("linspace", 2.0, 3.0, 1)
add("logspace", 0.0, 2.0, 5)
add("logspace", 0.0, 2.0, 5, base=2)
add("eye", 3)
add("eye", 3, 4, k=1, dtype="int32")
add("identity", 3)
add("tri", 3)
add("tri", 3, 4, k=-1, dtype="int32")
for _name in ("tril", "triu"):
    batched(_name, CUBE)
    add(_name, X, k=1)
    add(_name, X, k=-1)
add("diag", ROW)
add("diag", ROW, k=-2)
add("diag", X)
add("diag", X, k=1)
add("diagflat", X, k=1)
add("diagonal", CUBE)
add("diagonal", CUBE, offset=1, axis1=1, axis2=2)
batched("diagonal", CUBE, offset=-1, axis1=1, axis2=2)
add("diagonal", MASK)
add("trace", X)
add("trace", integers(3, 3), offset=1)

# -- indexing --------------------------------------------------------------------------

for _key in (
    *(0, -1, np.s_[1:], np.s_[:, 1], np.s_[..., 1], np.s_[::-1], np.s_[::2, None]),
    *(np.s_[None, 1:3, ..., ::-2], np.s_[-1, :, 0], np.s_[3:1:-1], np.s_[4:2], ...),
    *(np.int32([0, 2]), np.s_[:, np.int32([[0, 1], [1, -1]])], None),
    *(np.s_[np.int32([0, 1]), :, np.int32([2, 0])], np.s_[0, :, np.int32([2, 0])]),
    *(np.s_[:, 0, np.int32([2, 0])], np.s_[np.int32([0, 1]), np.int32([1, 0])]),
    *(np.s_[1:, np.int32([0, 1]), None], [0, 2], np.s_[np.int32(1)]),
    *(np.s_[:, None, np.int32([1, 0]), 1],),
):
    add("get_item", CUBE, _key)
for _key in (np.s_[:, 1], np.s_[..., -1], np.s_[1:], np.s_[:, None], np.s_[:, :, ::-1]):
    batched("get_item", CUBE, _key)
batched("get_item", CUBE, np.s_[:, np.int32([1, 0])])
batched("take", X, np.int32([0, 2]), axis=1)
add("take", X, np.int32([[0, -1], [3, 2]]), axis=0)
add("take", X, 5)
add("take", CUBE, np.uint8([1, 0]), axis=-2)
batched("take_along_axis", X, integers(BATCH, 2, low=0, high=3), axis=1)
add("take_along_axis", X, integers(1, 3, low=-4, high=4), axis=0)
add("take_along_axis", X, np.int32([0, 5, -1]))
batched("slice", CUBE, (0, 1, 1), (BATCH, 1, 2))
add("slice", CUBE, np.int32([3, 1, 9]), (1, 1, 2))
add("slice_update", CUBE, (1, 0, 1), np.ones((2, 2, 1), np.float32))
add("slice_update", N, np.int32([0, 1]), np.int32([[7, 8]]))
add("scatter", np.int32([[0], [2], [0]]), floats(3, 2), (4, 2))
add("scatter", np.int32([[[0, 1], [2, 0]]]), floats(1, 2), (3, 2))
for _reduction in (None, "add", "max", "min", "mul"):
    add(
        "scatter_update",
        X,
        np.int32([[0, 1], [3, 2], [-1, 0]]),
        floats(3, low=0.5),
        reduction=_reduction,
    )
add("scatter_update", X, [[1], [2]], floats(2, 3))
for _name in ("segment_sum", "segment_max", "segment_min", "segment_prod"):
    add(_name, X, np.int32([0, 2, 0, 2]), 3)
    add(_name, N, np.int32([1, 1, 0, 1]), num_segments=2)

# -- core ------------------------------------------------------------------------------

batched("cast", X * 9, "int32")
add("cast", X, "bool")
add("cast", N, "float16")
add("cast", MASK, "float32")
add("cast", 3.7, "int32")
add("saturate_cast", X * 200, "uint8")
add("saturate_cast", N * 99, "int8")
add("saturate_cast", N, "uint8")
add("saturate_cast", MASK, "int32")
batched("view", X, "int32")
for _name in ("convert_to_tensor", "array", "copy"):
    add(_name, [1.0, 2.0])
    add(_name, [[1, 2], [3, 4]])
    add(_name, True)
    batched(_name, X)
add("convert_to_tensor", [1, 2], dtype="float32")
add("array", X, "int32")
add("convert_to_numpy", X)
batched("stop_gradient", X)
for _name in ("shape", "ndim", "size", "dtype"):
    add(_name, CUBE)
add("is_tensor", X)
add("is_tensor", 1.0)

# -- products --------------------------------------------------------------------------

batched("matmul", X, floats(3, 5))
batched("matmul", CUBE, floats(3, 5))
batched("matmul", CUBE, floats(BATCH, 3, 5))
add("matmul", X, ROW)
add("matmul", ROW, floats(3, 5))
add("matmul", ROW, floats(2, 3, 5))
add("matmul", ROW, ROW)
add("matmul", X, floats(2, 3, 5))
add("matmul", floats(2, 1, 4, 3), floats(3, 3, 5))
add("matmul", N, M.T)
add("matmul", NARROW, NARROW.T)
add("matmul", MASK, OTHER_MASK.T)
add("matmul", N, X.T)
batched("dot", X, floats(3, 5))
add("dot", CUBE, floats(2, 3, 5))
add("dot", ROW, ROW)
add("dot", X, 2.0)
add("dot", NARROW, NARROW.T)
batched("inner", X, floats(5, 3))
add("inner", CUBE, X)
add("inner", X, 2)
add("vdot", X, Y)
add("outer", X, ROW)
add("outer", N, M)
batched("tensordot", CUBE, floats(2, 3, 5))
add("tensordot", CUBE, floats(3, 4), axes=1)
add("tensordot", CUBE, floats(3, 4), axes=[[0, 2], [1, 0]])
add("tensordot", X, ROW, axes=0)
add("kron", X, floats(2, 2))
add("kron", ROW, X)
for _subscripts, *_shapes in (
    ("ij,jk->ik", (4, 3), (3, 5)),
    ("bij,bjk->bik", (4, 2, 3), (4, 3, 5)),
    ("bij,bjk", (4, 2, 3), (4, 3, 5)),
    ("ij->ji", (4, 3)),
    ("ii->i", (3, 3)),
    ("ii", (3, 3)),
    ("ij->", (4, 3)),
    ("ij,ij->ij", (4, 3), (4, 3)),
    ("i,j->ij", (4,), (3,)),
    ("...i,ij->...j", (2, 4, 3), (3, 5)),
    ("...ij,...jk->...ik", (2, 1, 4, 3), (5, 3, 2)),
    ("ab,bc,cd->ad", (2, 3), (3, 4), (4, 5)),
    ("ab,ab,ac->c", (2, 3), (2, 3), (2, 4)),
    ("bhwc,hkc->bwhk", (4, 2, 3, 5), (2, 6, 5)),
    ("btnh,bsnh->bnts", (4, 3, 2, 5), (4, 6, 2, 5)),
    ("ij,kj->i", (4, 3), (2, 3)),
):
    _operands = [floats(*_shape) for _shape in _shapes]
    if all(_shape[0] == BATCH for _shape in _shapes[:1]) and _subscripts[0] == "b":
        batched("einsum", _subscripts, *_operands)
    else:
        add("einsum", _subscripts, *_operands)
add("einsum", "ij,kj->ik", NARROW, NARROW)
add("einsum", "ij,kj->ik", MASK, OTHER_MASK)
batched("rearrange", floats(BATCH, 6, 2), "b (h d) c -> b h (c d)", h=3)
add("rearrange", CUBE, "a b c -> c (b a)")
add("rearrange", floats(2, 6), "b (h w) -> w b h", w=2)

# -- convolution and pooling -----------------------------------------------------------

for _padding in ("valid", "same"):
    for _strides, _dilation in ((1, 1), (2, 1), ((2, 1), 1), (1, 2)):
        add(
            "conv",
            IMAGE,
            floats(3, 2, 4, 5),
            strides=_strides,
            padding=_padding,
            dilation_rate=_dilation,
        )
    batched("conv", LINE, floats(3, 4, 5), padding=_padding)
    add("conv", VOLUME, floats(2, 2, 2, 2, 3), 2, padding=_padding)
    batched("depthwise_conv", IMAGE, floats(3, 2, 4, 2), padding=_padding)
    add("depthwise_conv", LINE, floats(3, 4, 1), strides=2, padding=_padding)
    for _strides in (1, 2, 3):
        add(
            "conv_transpose",
            IMAGE,
            floats(3, 2, 5, 4),
            strides=_strides,
            padding=_padding,
        )
    add("conv_transpose", LINE, floats(4, 5, 4), 3, _padding, output_padding=1)
    for _name in ("max_pool", "average_pool"):
        batched(_name, IMAGE, 2, strides=2, padding=_padding)
        add(_name, IMAGE, (3, 2), strides=(2, 1), padding=_padding)
        add(_name, LINE, 3, strides=2, padding=_padding)
add("conv", IMAGE, floats(3, 3, 2, 6), padding="same")  # two groups
add("conv", floats(2, 4, 7, 6), floats(3, 2, 4, 5), data_format="channels_first")
add("conv_transpose", IMAGE, floats(3, 2, 5, 4), dilation_rate=2)
batched("conv_transpose", LINE, floats(3, 5, 4), strides=2)
batched("separable_conv", IMAGE, floats(3, 2, 4, 2), floats(1, 1, 8, 3), padding="same")
add("separable_conv", LINE, floats(3, 4, 2), floats(1, 8, 3), strides=2)
for _name in ("adaptive_average_pool", "adaptive_max_pool"):
    add(_name, IMAGE, (3, 4))
    batched(_name, LINE, 4)
    add(_name, floats(2, 3, 7, 6), 2, data_format="channels_first")
add("unfold", floats(2, 3, 5, 6), 2)
add("unfold", floats(2, 3, 7, 6), (3, 2), dilation=2, padding=1, stride=2)
add("fold", floats(2, 12, 20), (5, 6), 2)
add("fold", floats(2, 18, 9), (7, 6), (3, 2), dilation=2, padding=1, stride=2)

# -- softmax, losses, normalization, attention -----------------------------------------

for _name in ("softmax", "log_softmax"):
    batched(_name, CUBE)
    batched(_name, CUBE, axis=1)
    add(_name, CUBE, axis=(0, 2))
    add(_name, X, axis=None)
batched("one_hot", LABELS, 5)
add("one_hot", np.int32([[0, -1], [2, 7]]), 3, axis=1, dtype="int32")
batched("multi_hot", COUNTS, 9)
add("multi_hot", np.int32([0, 2]), 4)
for _from_logits in (False, True):
    _predicted = X if _from_logits else 1 / (1 + np.exp(-X))
    batched("binary_crossentropy", ZEROS_AND_ONES, _predicted, from_logits=_from_logits)
    _scores = floats(BATCH, 5) if _from_logits else PROBABILITIES * 3
    batched("categorical_crossentropy", TARGETS, _scores, from_logits=_from_logits)
    add("categorical_crossentropy", TARGETS, _scores, _from_logits, axis=0)
    batched("sparse_categorical_crossentropy", LABELS, _scores, _from_logits)
    add("sparse_categorical_crossentropy", LABELS[:, None], _scores, _from_logits)
add("binary_crossentropy", [0, 1], [0.0, 1.0])
add("categorical_crossentropy", [[0.0, 1.0]], [[1.0, 0.0]])
_statistics = (floats(3), floats(3, low=0.5))
batched("batch_normalization", CUBE, *_statistics, axis=-1)
add(
    "batch_normalization",
    floats(2, 3, 4),
    *_statistics,
    axis=1,
    offset=ROW,
    scale=ROW,
    epsilon=1e-5,
)
batched("layer_normalization", CUBE)
batched("layer_normalization", CUBE, ROW, ROW, epsilon=1e-3)
add("layer_normalization", CUBE, axis=(1, 2))
batched("rms_normalization", CUBE)
add("rms_normalization", CUBE, ROW, axis=-1, epsilon=1e-3)
_q, _k, _v = floats(BATCH, 5, 4, 8), floats(BATCH, 6, 4, 8), floats(BATCH, 6, 4, 8)
batched("dot_product_attention", _q, _k, _v)
batched("dot_product_attention", _q, _k, _v, is_causal=True)
batched("dot_product_attention", _q, _k, _v, mask=bools(BATCH, 1, 5, 6))
add("dot_product_attention", _q, _k, _v, scale=0.5, mask=bools(BATCH, 4, 5, 6))
batched("dot_product_attention", _q, _k, _v, bias=floats(BATCH, 4, 5, 6))
add(
    "dot_product_attention",
    _q,
    _k,
    _v,
    bias=floats(1, 4, 5, 6),
    mask=bools(BATCH, 1, 5, 6),
    is_causal=True,
)
add("dot_product_attention", _q, _k[:, :, :2], _v[:, :, :2])
add("dot_product_attention", _q, _k[:, :, :2], _v[:, :, :2], bias=floats(4, 4, 5, 6))

# -- added later: new arrays go to the end, so that those above stay as they are -------

batched("isin", COUNTS, np.int32([[1, 2], [3, 99]]))
add("isin", X, N)
add("isin", N, 3, invert=True)
