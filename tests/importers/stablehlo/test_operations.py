"""Operations of which jax's programs are no test: the graph computes what XLA does."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import jax
import numpy as np
import pytest

import graphc
from graphc.ir import UnsupportedError, evaluate
from graphc.ir.tolerance import mismatch
from graphc.runtime.xla_export import Spec, exported
from graphc.testing.equivalence import assert_same_bits
from graphc.testing.op_cases import Array

F, N, P = "tensor<f32>", "tensor<i32>", "tensor<i1>"
M, MI, MP = "tensor<2x3xf32>", "tensor<2x3xi32>", "tensor<2x3xi1>"
V = "tensor<3xf32>"
COMPARES = f": ({F}, {F}) -> {P}"
COUNTS = f": ({N}, {N}) -> {P}"
NORM = "epsilon = 1.000000e-03 : f32, feature_index = 1 : i64"


def mapped(operands: str, arguments: str, body: str, types: str, result: str) -> str:
    return (
        f'"stablehlo.map"({operands}) <{{dimensions = array<i64: 0, 1>}}> ({{\n'
        f"^bb0({arguments}):\n{body}\n}}) : ({types}) -> {result}\n"
    )


def sorted_by(body: str) -> str:
    return (
        '%r:2 = "stablehlo.sort"(%x, %y) <{dimension = 1 : i64, is_stable = true}> ({\n'
        f"^bb0(%a: {F}, %b: {F}, %c: {F}, %d: {F}):\n{body}\n"
        f"stablehlo.return %o : {P}\n}}) : ({M}, {M}) -> ({M}, {M})\n"
        f"return %r#0, %r#1 : {M}, {M}"
    )


def nan_last(a: str, b: str, direction: str, result: str = "o") -> str:
    """What graphc writes for the order of floats with nan above all numbers."""
    high, low = (a, b) if direction == "GT" else (b, a)
    return (
        f"%{result}1 = stablehlo.compare {direction}, {a}, {b} {COMPARES}\n"
        f"%{result}2 = stablehlo.compare NE, {high}, {high} {COMPARES}\n"
        f"%{result}3 = stablehlo.compare EQ, {low}, {low} {COMPARES}\n"
        f"%{result}4 = stablehlo.and %{result}2, %{result}3 : {P}\n"
        f"%{result} = stablehlo.or %{result}1, %{result}4 : {P}"
    )


def extreme_of(direction: str, start: str) -> str:
    """A reduction to an extreme and its position, as jax writes it."""
    return (
        f"%first = stablehlo.constant dense<0> : {N}\n"
        f"%worst = stablehlo.constant dense<{start}> : {F}\n"
        "%places = stablehlo.iota dim = 1 : tensor<2x3xi32>\n"
        '%r:2 = "stablehlo.reduce"(%x, %places, %worst, %first)'
        " <{dimensions = array<i64: 1>}> ({\n"
        f"^bb0(%a: {F}, %i: {N}, %b: {F}, %j: {N}):\n"
        f"%1 = stablehlo.compare {direction}, %a, %b {COMPARES}\n"
        f"%2 = stablehlo.compare NE, %a, %a {COMPARES}\n"
        f"%3 = stablehlo.or %1, %2 : {P}\n"
        f"%4 = stablehlo.compare EQ, %a, %b {COMPARES}\n"
        f"%5 = stablehlo.compare LT, %i, %j {COUNTS}\n"
        f"%6 = stablehlo.and %4, %5 : {P}\n"
        f"%7 = stablehlo.or %3, %6 : {P}\n"
        f"%8 = stablehlo.select %3, %a, %b : {P}, {F}\n"
        f"%9 = stablehlo.select %7, %i, %j : {P}, {N}\n"
        f"stablehlo.return %8, %9 : {F}, {N}\n"
        f"}}) : ({M}, tensor<2x3xi32>, {F}, {N}) -> (tensor<2xf32>, tensor<2xi32>)\n"
        "return %r#0, %r#1 : tensor<2xf32>, tensor<2xi32>"
    )


def resized(name: str, operands: str, options: str, types: str) -> str:
    shape = "%n = stablehlo.constant dense<[2, 3]> : tensor<2xi32>\n"
    return (
        f'{shape}%r = "stablehlo.dynamic_{name}"({operands}%n) {options}'
        f" : ({types}tensor<2xi32>) -> {M}\nreturn %r : {M}"
    )


def windows(combining: str, options: str, shape: str, x: str, start: str) -> str:
    """A reduction of windows."""
    return (
        f"%first = stablehlo.constant dense<{start}> : {F}\n"
        f'%r = "stablehlo.reduce_window"({x}, %first) <{{{options}}}> ({{\n'
        f"^bb0(%a: {F}, %b: {F}):\n%1 = stablehlo.{combining} %a, %b : {F}\n"
        f"stablehlo.return %1 : {F}\n"
        f"}}) : ({M}, {F}) -> tensor<{shape}xf32>\nreturn %r : tensor<{shape}xf32>"
    )


EXACT = {
    "map": "%r = "
    + mapped(
        "%x, %y",
        f"%a: {F}, %b: {F}",
        f"%two = stablehlo.constant dense<2.0> : {F}\n"
        f"%1 = stablehlo.multiply %a, %two : {F}\n"
        f"%2 = stablehlo.compare LT, %b, %1 {COMPARES}\n"
        f"%3 = stablehlo.select %2, %b, %1 : {P}, {F}\n"
        f"stablehlo.return %3 : {F}",
        f"{M}, {M}",
        M,
    )
    + f"return %r : {M}",
    "map to a constant": "%r = "
    + mapped(
        "%x",
        f"%a: {F}",
        f"%1 = stablehlo.constant dense<true> : {P}\nstablehlo.return %1 : {P}",
        M,
        "tensor<2x3xi1>",
    )
    + "return %r : tensor<2x3xi1>",
    "clamp of bool": f"%a = stablehlo.compare LT, %x, %y : ({M}, {M}) -> {MP}\n"
    f"%b = stablehlo.compare LT, %y, %x : ({M}, {M}) -> {MP}\n"
    f"%c = stablehlo.compare NE, %s, %s {COMPARES}\n"
    f"%r = stablehlo.clamp %c, %a, %b : ({P}, {MP}, {MP}) -> {MP}\nreturn %r : {MP}",
    "broadcast": f'%r = "stablehlo.broadcast"(%v) <{{broadcast_sizes ='
    f" array<i64: 2>}}> : ({V}) -> {M}\nreturn %r : {M}",
    "dynamic_reshape": resized("reshape", "%w, ", "", "tensor<3x2xf32>, "),
    "dynamic_iota": resized("iota", "", "<{iota_dimension = 1 : i64}>", ""),
    "dynamic_broadcast_in_dim": resized(
        "broadcast_in_dim",
        "%v, ",
        "<{broadcast_dimensions = array<i64: 1>}>",
        f"{V}, ",
    ),
    "sort with nan last": sorted_by(nan_last("%c", "%d", "LT")),
    "sort with nan first": sorted_by(nan_last("%c", "%d", "GT")),
    "sort by two keys": sorted_by(
        f"%first = stablehlo.compare GT, %c, %d, TOTALORDER {COMPARES}\n"
        f"%behind = stablehlo.compare GT, %d, %c, TOTALORDER {COMPARES}\n"
        f"%tied = stablehlo.not %behind : {P}\n"
        f"%next = stablehlo.compare LT, %a, %b, TOTALORDER {COMPARES}\n"
        f"%later = stablehlo.and %tied, %next : {P}\n"
        f"%o = stablehlo.or %first, %later : {P}"
    ),
    "sort of integers by descending keys": "%a = stablehlo.bitcast_convert %x"
    f" : ({M}) -> {MI}\n"
    '%r = "stablehlo.sort"(%a) <{dimension = 0 : i64, is_stable = true}> ({\n'
    f"^bb0(%j: {N}, %k: {N}):\n%o = stablehlo.compare GT, %j, %k {COUNTS}\n"
    f"stablehlo.return %o : {P}\n}}) : ({MI}) -> {MI}\nreturn %r : {MI}",
    "the largest by total order": f"%r:2 = chlo.top_k(%x, k = 2) : {M}"
    " -> (tensor<2x2xf32>, tensor<2x2xi32>)\n"
    "return %r#0, %r#1 : tensor<2x2xf32>, tensor<2x2xi32>",
    "total order": f"%r = stablehlo.compare LT, %x, %y, TOTALORDER : ({M}, {M})"
    f" -> {MP}\nreturn %r : {MP}",
    "windows with base dilation": windows(
        "maximum",
        "base_dilations = array<i64: 1, 2>, window_dimensions = array<i64: 1, 2>",
        "2x4",
        "%x",
        "0.5",
    ),
    "scan from the end": windows(
        "maximum",
        "window_dimensions = array<i64: 1, 3>,"
        " padding = dense<[[0, 0], [0, 2]]> : tensor<2x2xi64>",
        "2x3",
        "%x",
        "0xFF800000",
    ),
    "reduction from a number": windows(
        "minimum", "window_dimensions = array<i64: 2, 1>", "1x3", "%x", "0.5"
    ),
    "padding between": f"%r = stablehlo.pad %x, %s, low = [1, -1], high = [0, 2],"
    f" interior = [0, 1] : ({M}, {F}) -> tensor<3x6xf32>\nreturn %r : tensor<3x6xf32>",
    "slice with one stride": f"%r = stablehlo.slice %x [0:2, 0:3:2] : ({M})"
    " -> tensor<2x2xf32>\nreturn %r : tensor<2x2xf32>",
    "rounding to bits": f"%r = stablehlo.reduce_precision %y, format = e5m1 : {M}\n"
    f"return %r : {M}",
    "a branch by index": f"%a = stablehlo.convert %s : ({F}) -> {N}\n"
    '%r = "stablehlo.case"(%a) ({\n'
    f"stablehlo.return %x : {M}\n}}, {{\nstablehlo.return %y : {M}\n"
    f"}}) : ({N}) -> {M}\nreturn %r : {M}",
    "argmax": extreme_of("GT", "0xFF800000"),
    "argmin": extreme_of("LT", "0x7F800000"),
}
"""Bodies of functions whose results are those of XLA to the bit."""

CLOSE = {
    "batch_norm_training": '%r:3 = "stablehlo.batch_norm_training"(%x, %v, %u)'
    f" <{{{NORM}}}> : ({M}, {V}, {V}) -> ({M}, {V}, {V})\n"
    f"return %r#0, %r#1, %r#2 : {M}, {V}, {V}",
    "triangular_solve": '%r = "stablehlo.triangular_solve"(%t, %w)'
    " <{left_side = true, lower = true, transpose_a = #stablehlo<transpose TRANSPOSE>,"
    " unit_diagonal = false}> : (tensor<3x3xf32>, tensor<3x2xf32>) -> tensor<3x2xf32>\n"
    "return %r : tensor<3x2xf32>",
    "gradient of a minimum over windows": '%r = "stablehlo.select_and_scatter"'
    "(%x, %w, %s) <{window_dimensions = array<i64: 1, 2>, padding ="
    " dense<[[1, 0], [0, 0]]> : tensor<2x2xi64>}> ({\n"
    f"^bb0(%a: {F}, %b: {F}):\n%1 = stablehlo.compare LE, %a, %b {COMPARES}\n"
    f"stablehlo.return %1 : {P}\n}}, {{\n^bb0(%a: {F}, %b: {F}):\n"
    f"%1 = stablehlo.add %a, %b : {F}\nstablehlo.return %1 : {F}\n"
    f"}}) : ({M}, tensor<3x2xf32>, {F}) -> {M}\nreturn %r : {M}",
    "batch_norm_inference": '%r = "stablehlo.batch_norm_inference"(%x, %v, %u, %u, %p)'
    f" <{{{NORM}}}> : ({M}, {V}, {V}, {V}, {V}) -> {M}\nreturn %r : {M}",
    "batch_norm_grad": '%r:3 = "stablehlo.batch_norm_grad"(%x, %v, %u, %p, %y)'
    f" <{{{NORM}}}> : ({M}, {V}, {V}, {V}, {M}) -> ({M}, {V}, {V})\n"
    f"return %r#0, %r#1, %r#2 : {M}, {V}, {V}",
}
"""Bodies of functions that round."""

PARAMETERS = {"x": M, "y": M, "w": "tensor<3x2xf32>", "t": "tensor<3x3xf32>"}
PARAMETERS |= {"v": V, "u": V, "p": V, "s": F}
SHAPES = ((2, 3), (2, 3), (3, 2), (3, 3), (3,), (3,), (3,), ())


def function(name: str, body: str) -> str:
    parameters = ", ".join(f"%{each}: {type}" for each, type in PARAMETERS.items())
    return f"func.func {name}({parameters}) -> ({types_of(body)}) {{\n{body}\n}}\n"


def types_of(body: str) -> str:
    return body.rpartition(" : ")[2]


def module(bodies: Iterable[str]) -> str:
    """A module of all bodies, each a function, whose results are all returned."""
    texts, lines, returned = [], [], []
    given = ", ".join(f"%{name}" for name in PARAMETERS)
    for number, body in enumerate(bodies):
        texts.append(function(f"private @f{number}", body))
        types = types_of(body).split(", ")
        lines.append(
            f"%r{number}:{len(types)} = func.call @f{number}({given})"
            f" : ({', '.join(PARAMETERS.values())}) -> ({types_of(body)})"
        )
        returned += [(f"%r{number}#{i}", type) for i, type in enumerate(types)]
    names, types = (", ".join(each) for each in zip(*returned, strict=True))
    lines.append(f"return {names} : {types}")
    return "".join(texts) + function("public @main", "\n".join(lines))


def results(
    bodies: dict[str, str], draws: list[list[Array]]
) -> Iterator[tuple[str, Array, Array]]:
    """What the graph and XLA compute of each draw, with the name of the body."""
    text = module(bodies.values())
    graph = graphc.from_stablehlo(text)
    parameters, returned = (
        [Spec(each.type.static_shape, each.type.dtype.numpy) for each in values]
        for values in (graph.parameters, graph.results)
    )
    by_xla = jax.jit(exported(text, "f", parameters, returned, "cpu").call)
    names = [name for name, body in bodies.items() for _ in types_of(body).split(", ")]
    for arrays in draws:
        wanted = map(np.asarray, by_xla(*arrays))
        yield from zip(names, evaluate(graph, *arrays), wanted, strict=True)


def special(shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Few numbers, so that some are equal."""
    few = np.float32([0.0, -0.0, 1.0, 3.5, np.inf, -np.inf, np.nan, -np.nan])
    return rng.choice(few, shape)


def test_results_are_those_of_xla(rng: np.random.Generator):
    draws = [[special(shape, rng) for shape in SHAPES] for _ in range(8)]
    for name, found, wanted in results(EXACT, draws):
        try:
            assert_same_bits(found, wanted)
        except AssertionError as error:
            error.add_note(name)
            raise


def test_results_are_close_to_those_of_xla(rng: np.random.Generator):
    arrays = [rng.uniform(0.5, 2, shape).astype(np.float32) for shape in SHAPES]
    for name, found, wanted in results(CLOSE, [arrays]):
        problem = mismatch(found, wanted)
        assert problem is None, f"{name}: {problem}"


@pytest.mark.parametrize("name", ["argmax", "argmin"])
def test_extremes_with_positions_are_ops(name: str):
    graph = graphc.from_stablehlo(module([EXACT[name]]))
    (callee,) = graph.callees()
    assert [node.op.name for node in callee.nodes][-1] == name


def test_a_mapped_region_reads_values_from_outside():
    body = f"%1 = stablehlo.multiply %a, %s : {F}\nstablehlo.return %1 : {F}"
    text = "%r = " + mapped("%x", f"%a: {F}", body, M, M) + f"return %r : {M}"
    graph = graphc.from_stablehlo(module([text]))
    arrays = [np.full(shape, 3, np.float32) for shape in SHAPES]
    np.testing.assert_array_equal(evaluate(graph, *arrays)[0], np.full((2, 3), 9))
    assert list(graph.module.graphs) == ["f0", "main"]


def test_a_region_that_is_not_elementwise_is_refused():
    body = (
        f"%1 = stablehlo.broadcast_in_dim %a, dims = [] : ({F}) -> tensor<2xf32>\n"
        f"%2 = stablehlo.slice %1 [0:1] : (tensor<2xf32>) -> tensor<1xf32>\n"
        f"%3 = stablehlo.reshape %2 : (tensor<1xf32>) -> {F}\n"
        f"stablehlo.return %3 : {F}"
    )
    text = "%r = " + mapped("%x", f"%a: {F}", body, M, M) + f"return %r : {M}"
    with pytest.raises(
        UnsupportedError, match="the region is not elementwise"
    ) as error:
        graphc.from_stablehlo(module([text]))
    assert error.value.received == "broadcast_in_dim"
