"""Triton's form of each elementwise primitive against the reference, in the interpreter.

A kernel computes all ops that take a dtype: on pairs of special values, on the ranges
of the ops' samples, and with numbers among the operands.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from ml_dtypes import finfo

from graphc.codegen.spellings import SPELLINGS
from graphc.codegen.triton.dtypes import literal
from graphc.codegen.triton.elementwise import FORMS, expression
from graphc.ir import (
    Arg,
    Graph,
    GraphError,
    Kind,
    Literal,
    OpDef,
    UnsupportedError,
    Value,
    building,
    evaluate,
    parse,
)
from graphc.ir.opdef import AttributeKind
from graphc.ir.ops import OPS
from graphc.ir.random_inputs import random_array
from graphc.ir.tolerance import node_ulp
from graphc.ir.types import (
    BF16,
    BOOL,
    DTYPES,
    F16,
    F32,
    F64,
    I32,
    U32,
    DType,
    TensorType,
)
from graphc.passes.pipelines import KEPT
from graphc.runtime.triton_compile import Compiler
from graphc.runtime.triton_device import Device
from graphc.testing import equivalence
from tests import closeness
from tests.codegen.triton.straight_line import straight_line
from tests.triton_kernels import run_kernel

pytestmark = pytest.mark.triton

Array = np.ndarray[Any, Any]

PRIMITIVES = {
    name: op
    for name, op in sorted(OPS.items())
    if op.kind is Kind.ELEMENTWISE and not op.is_composite and not op.no_kernel
}
FLOATS = (F16, BF16, F32, F64)
EITHER_ZERO = ("maximum", "minimum", "clamp")
"""Ops that may return 0.0 where the reference returns -0.0."""


def with_slow(*fast: DType, others: Iterable[DType] = DTYPES.values()) -> list[Any]:
    """Dtypes as parameters; those that are not among the fast ones make a test slow."""
    return [
        pytest.param(of, id=of.name, marks=() if of in fast else pytest.mark.slow)
        for of in others
    ]


def test_every_primitive_has_one_form():
    spelled = {name for name, row in SPELLINGS.items() if row.triton is not None}
    assert PRIMITIVES.keys() - FORMS.keys() - spelled == set()
    assert spelled & FORMS.keys() == set()
    kept = {name for name in KEPT if OPS[name].kind is Kind.ELEMENTWISE}
    assert (spelled | FORMS.keys()) - PRIMITIVES.keys() == kept


# -- uses of all ops -------------------------------------------------------------------


def operand_dtypes(op: OpDef, dtype: DType) -> list[DType] | None:
    """The dtypes of the operands for a use of an op in a dtype, if it takes that."""
    accepted = [op.dtypes[min(i, len(op.dtypes) - 1)] for i in range(len(op.operands))]
    chosen = [next(iter(a)) if len(a) == 1 else dtype for a in accepted]
    fits = all(d in a for d, a in zip(chosen, accepted, strict=True))
    return chosen if fits and dtype in chosen else None


def attribute_choices(op: OpDef) -> list[dict[str, Any]]:
    """The attributes of uses of an op: those of its samples, and every dtype."""
    kinds = {attribute.kind for attribute in op.attributes.values()}
    if AttributeKind.DTYPE in kinds:
        return [{"dtype": dtype} for dtype in DTYPES.values()]
    found = [dict(sample.attributes) for sample in op.samples]
    return [a for i, a in enumerate(found) if a not in found[:i]]


def add_uses(graph: Graph, op: OpDef, operands: Sequence[Any]) -> None:
    """Appends the uses of an op that its types allow, and their results, to a graph."""
    for attributes in attribute_choices(op):
        try:
            with building(graph):
                graph.results = (*graph.results, op(*operands, **attributes))
        except GraphError:  # a dtype of another width
            continue


# -- special values --------------------------------------------------------------------


def special_values(dtype: DType) -> Array:
    """Sixteen elements of which pairs are what formulas get wrong."""
    if dtype is BOOL:
        return np.arange(16) % 3 == 0
    if dtype.is_float:
        limits = finfo(dtype.numpy)
        values = [0.0, 0.5, 1, 2.5, limits.max, limits.smallest_subnormal, np.inf]
        signed = [sign * float(value) for value in values for sign in (1, -1)]
        with np.errstate(all="ignore"):  # not every float has an infinity
            return np.array([*signed, 0.1, np.nan]).astype(dtype.numpy)
    low = 0 if dtype.kind == "uint" else -(2 ** (dtype.bits - 1))
    high = low + 2**dtype.bits - 1
    width = dtype.bits
    values = [0, 1, 2, 3, 7, width - 1, width, width + 1, low, low + 1, high, high - 1]
    values += [-1, -3, high // 3, low // 3]
    return np.array([v if low <= v <= high else high + v for v in values], dtype.numpy)


def special_arrays(dtype: DType) -> list[Array]:
    """Three operands of a dtype that hold all pairs, then one of truth values."""
    first, second = np.array(list(itertools.product(range(16), repeat=2))).T
    values = special_values(dtype)
    third = (5 * first + 3 * second) % 16
    return [values[first], values[second], values[third], third % 2 == 0]


def special_graph(types: Sequence[TensorType]) -> Graph:
    """A graph of all ops on operands of a dtype, with the last one where it is bool."""
    graph = Graph("special")
    *values, truth = map(graph.add_parameter, types)
    for op in PRIMITIVES.values():
        chosen = operand_dtypes(op, values[0].dtype)
        if chosen is not None:
            left = iter(values)
            operands = [next(left) if d is values[0].dtype else truth for d in chosen]
            add_uses(graph, op, operands)
    return graph


@pytest.mark.parametrize("dtype", with_slow(F32, BF16, I32, BOOL))
def test_special_values(dtype: DType, kernel_device: Device):
    arrays = special_arrays(dtype)
    graph = special_graph(list(map(type_of, arrays)))
    assert_reference_agrees(kernel_device, graph, arrays)


def assert_reference_agrees(device: Device, graph: Graph, arrays: list[Array]) -> None:
    """Compares the results of a kernel with those of the evaluator, op by op."""
    __tracebackhide__ = True
    found = run_kernel(device, straight_line(graph), *arrays)
    for node, got, want in zip(
        graph.nodes, found, evaluate(graph, *arrays), strict=True
    ):
        assert_equals_reference(node.op, got, want)


def type_of(array: Array) -> TensorType:
    names = (dtype for dtype in DTYPES.values() if dtype.numpy == array.dtype)
    return TensorType(array.shape, next(names))


def assert_equals_reference(op: OpDef, got: Array, want: Array) -> None:
    """Bit for bit where the record says so, else within the table, zeros with signs."""
    __tracebackhide__ = True
    if op.ulp == 0:
        signed = op.name not in EITHER_ZERO
        equivalence.assert_same_bits(got, want, signed)
    else:
        closeness.assert_close(got, want)
        zeros = want == 0
        equivalence.assert_same_bits(got[zeros], want[zeros])


# -- accuracy --------------------------------------------------------------------------


@pytest.mark.parametrize("dtype", with_slow(F32, others=FLOATS))
def test_accuracy_is_what_records_allow(
    dtype: DType, kernel_device: Device, rng: np.random.Generator
):
    graph, arrays = Graph("samples"), []
    for op in PRIMITIVES.values():
        if op.ulp and operand_dtypes(op, dtype):
            type = TensorType((1024,), dtype)
            ranges = [a for a in op.samples[0].operands if isinstance(a, Arg)]
            arrays += [random_array(type, rng, arg.low, arg.high) for arg in ranges]
            operands = [graph.add_parameter(type) for _ in ranges]
            add_uses(graph, op, operands)
    found = run_kernel(kernel_device, straight_line(graph), *arrays)
    for node, got, want in zip(
        graph.nodes, found, evaluate(graph, *arrays), strict=True
    ):
        equivalence.assert_close(got, want, node_ulp(node))


# -- numbers among the operands --------------------------------------------------------


def literal_uses(graph: Graph, op: OpDef, x: Value, numbers: Iterator[Any]) -> None:
    """Adds an op with a number in the place of each operand, and of all of them."""
    chosen = operand_dtypes(op, x.dtype)
    if chosen is None:
        return
    literals = [Literal(next(numbers) if d is x.dtype else True, d) for d in chosen]
    tiles = [x if number.dtype is x.dtype else number for number in literals]
    for place, number in enumerate(literals):
        operands = [*tiles[:place], number, *tiles[place + 1 :]]
        add_uses(graph, op, operands)
    add_uses(graph, op, literals)


def literal_graph(array: Array) -> Graph:
    """A graph of all ops on an operand and numbers, which are elements of an array."""
    graph = Graph("literals")
    x = graph.add_parameter(type_of(array))
    numbers = itertools.cycle(array.astype(object))
    for op in PRIMITIVES.values():
        literal_uses(graph, op, x, numbers)
    if operand_dtypes(OPS["power"], x.dtype):
        for exponent in (2.0, 3.0):  # which are products
            add_uses(graph, OPS["power"], [x, exponent])
    return graph


@pytest.mark.parametrize("dtype", with_slow(F32, U32))
def test_numbers_as_operands(dtype: DType, kernel_device: Device):
    array = special_values(dtype)
    assert_reference_agrees(kernel_device, literal_graph(array), [array])


# -- compilation -----------------------------------------------------------------------


@pytest.mark.parametrize("dtype", with_slow(F32))
def test_all_forms_compile(dtype: DType, triton_compiler: Compiler):
    graph = special_graph(list(map(type_of, special_arrays(dtype))))
    (compiled,) = triton_compiler.compile([straight_line(graph)], "sm_90")
    assert compiled.binary


ARCHITECTURES = [
    *itertools.product(["sm_90"], DTYPES.values()),
    *itertools.product(["sm_80", "gfx942"], [F32, F64, I32]),
]


@pytest.mark.slow
@pytest.mark.parametrize(("architecture", "dtype"), ARCHITECTURES, ids=str)
def test_forms_of_scalars_and_numbers_compile(
    architecture: str, dtype: DType, triton_compiler: Compiler
):
    arrays = special_arrays(dtype)
    scalars = special_graph([TensorType((), type_of(a).dtype) for a in arrays])
    kernels = map(straight_line, (scalars, literal_graph(special_values(dtype))))
    compiled = triton_compiler.compile(list(kernels), architecture)
    assert all(kernel.binary for kernel in compiled)


def test_numbers_are_plain_where_they_get_the_dtype_of_the_other_operand():
    graph = parse("""
    graph @f(%x: u32[4], %y: f64[4], %z: f32[4]) -> (u32[4], f64[4], f32[4], f32[4]) {
      %0 = xor(%x, 2654435769:u32) : u32[4]
      %1 = maximum(%y, 0.1:f64) : f64[4]
      %2 = maximum(%z, 0.1) : f32[4]
      %3 = power(%z, 2.0) : f32[4]
      return %0, %1, %2, %3
    }
    """)
    texts = [
        expression(
            node,
            [
                literal(operand) if isinstance(operand, Literal) else str(operand.name)
                for operand in node.operands
            ],
        ).text
        for node in graph.nodes
    ]
    assert texts == [
        "x ^ 2654435769",
        "tl.maximum(y, tl.full([], 0.1, tl.float64), tl.PropagateNan.ALL)",
        "tl.maximum(z, 0.1, tl.PropagateNan.ALL)",
        "z * z",
    ]


def test_an_op_without_a_form_is_named():
    graph = parse("""
    graph @f(%x: f32[4]) -> (f32[4]) {
      %0 = reverse(%x) {axes=[0]} : f32[4]
      return %0
    }
    """)
    with pytest.raises(UnsupportedError, match="reverse has no Triton form"):
        expression(next(iter(graph.nodes)), ["x"])
