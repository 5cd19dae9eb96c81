"""Where kernels read the elements of values."""

from __future__ import annotations

from graphc.ir import Graph, parse
from graphc.ir.index import Axis, Loaded, released, variable, whole, within
from graphc.ir.types import tensor_type
from graphc.passes.coordinates import (
    UNKNOWN,
    operand_coordinates,
    part_coordinates,
    propagate,
    read_coordinates,
    result_coordinates,
    stored_parts,
    substituted,
    unknown,
)
from graphc.passes.fusion.group import (
    axes_of,
    elements,
    joint,
    own_coordinates,
    row_coordinates,
    rows,
)

X, R = variable(Axis("x", 12)), variable(Axis("r", 5))


def graph() -> Graph:
    return parse("""
        graph @f(%x: f32[3,4,5], %i: i32[2]) -> (f32[5,12], f32[2,4,5]) {
          %0 = reshape(%x) {shape=[12,5]} : f32[12,5]
          %1 = transpose(%0) {permutation=[1,0]} : f32[5,12]
          %2 = negate(%1) : f32[5,12]
          %3 = gather(%x, %i) {collapsed_dims=[0], index_axis=1, offset_dims=[1,2],
            slice_sizes=[1,4,5], start_index_map=[0]} : f32[2,4,5]
          return %2, %3
        }""")


def test_elements_are_followed_both_ways():
    of = graph()
    reshape, transpose, negate, _ = of.nodes
    assert operand_coordinates(negate, 0, (R, X)) == (R, X)
    assert operand_coordinates(transpose, 0, (R, X)) == (X, R)
    assert operand_coordinates(reshape, 0, (X, R)) == (X // 4, X % 4, R)
    assert result_coordinates(reshape, 0, (X // 4, X % 4, R)) == (X, R)
    found = propagate({negate.result: (R, X)}, [reshape, transpose, negate])
    assert found[of.parameters[0]] == (X // 4, X % 4, R)


def test_what_is_read_elsewhere_has_a_name():
    *_, gather = graph().nodes
    at = own_coordinates((2, 4, 5))
    assert operand_coordinates(gather, 0, at) is None
    read = read_coordinates(gather, 0, at, "e3_0")
    assert axes_of(read) == {Axis("x", 40), UNKNOWN}
    assert read == read_coordinates(gather, 0, at, "e3_0")
    assert read != read_coordinates(gather, 0, at, "e4_0")


def test_what_is_known_of_an_index_makes_it_shorter():
    at = X - 4
    assert str((R * 8 + at + 2) // 8) == "(x + 6) // 8 + r - 1"
    known = within(at, 0, 5)
    assert (R * 8 + known + 2) // 8 == R
    assert str(released((R * 8 + known + 2) % 8)) == "x - 2"
    assert within(at, 3, 3) == whole(3)
    assert within(X, -1, 20) is X
    assert substituted(known, Axis("x", 12), R) == within(R - 4, 0, 5)


def test_equal_parts_are_stored_where_they_lie_in_the_whole():
    joined = parse("""
        graph @f(%x: f32[6,16], %y: f32[6,16], %z: f32[6,4])
            -> (f32[6,32], f32[6,20], f32[6,8]) {
          %0 = concatenate(%x, %y) {axis=1} : f32[6,32]
          %1 = concatenate(%x, %z) {axis=1} : f32[6,20]
          %2 = concatenate(%z, %z) {axis=1} : f32[6,8]
          return %0, %1, %2
        }""")
    equal, unequal, short = joined.nodes
    assert stored_parts(equal) == tuple(equal.operands)
    assert part_coordinates(equal.result, 1, (R, X)) == (R, X + 16)
    assert not stored_parts(unequal)
    assert not stored_parts(short)


def test_an_axis_can_be_said_by_others():
    x = Axis("x", 60)
    position = variable(x)
    by = X * 5 + R
    assert substituted(position // 5, x, by) == X
    assert substituted(position % 5 + 1, x, by) == R + 1
    assert substituted(X, x, by) == X
    loaded = variable(Loaded("i", 0, 9, frozenset({x})))
    assert substituted(loaded, x, by).axes == {Axis("x", 12), Axis("r", 5)}


def test_spaces_say_how_often_elements_are_computed():
    full, kept = row_coordinates((12, 5), (1,)), (X,)
    space = rows(tensor_type("f32[12,5]"), [1])
    (value, *_) = graph().parameters
    assert space.holds(value, full)
    assert not space.holds(value, kept)
    assert space.evaluations(full) == 60
    assert space.evaluations(kept) == 12
    # Each row reads all of what lies along it.
    assert space.evaluations((R,)) == 60
    assert not space.holds(value, unknown(value.type, axes_of(full), "e"))


def test_groups_of_elements_join_rows():
    space = rows(tensor_type("f32[12,5]"), [1])
    found = joint(elements((12, 5)), space)
    assert found is not None
    assert found[0] == space
    assert found[1](own_coordinates((12, 5))) == (X, R)
    of_kept = joint(space, elements((3, 4)))
    assert of_kept is not None
    assert of_kept[2](own_coordinates((3, 4))) == (X // 4, X % 4)
    assert joint(space, rows(tensor_type("f32[12,5]"), [0])) is None
    assert joint(elements((12,)), elements((5,))) is None
