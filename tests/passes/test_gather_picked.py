"""Sums that pick one element by its position."""

from collections.abc import Callable

import pytest

from graphc.ir import parse
from graphc.passes import GatherPicked, run


def test_a_pick_is_a_gather(check_pass: Callable[..., object]):
    check_pass(
        GatherPicked(),
        before="""
        graph @f(%x: f32[3,5], %y: i32[3]) -> (f32[3]) {
          %0 = iota() {axis=1, dtype="i32", shape=[3,5]} : i32[3,5]
          %1 = broadcast_in_dim(%y) {dims=[0], shape=[3,5]} : i32[3,5]
          %2 = compare(%0, %1) {direction="EQ"} : bool[3,5]
          %3 = select(%2, %x, 0.0) : f32[3,5]
          %4 = reduce_sum(%3) {axes=[1]} : f32[3]
          return %4
        }""",
        after="""
        graph @f(%x: f32[3,5], %y: i32[3]) -> (f32[3]) {
          %0 = iota() {axis=1, dtype="i32", shape=[3,5]} : i32[3,5]
          %1 = broadcast_in_dim(%y) {dims=[0], shape=[3,5]} : i32[3,5]
          %2 = compare(%0, %1) {direction="EQ"} : bool[3,5]
          %3 = select(%2, %x, 0.0) : f32[3,5]
          %4 = gather(%x, %y) {collapsed_dims=[1], index_axis=1, indices_batching=[0],
              offset_dims=[], operand_batching=[0], slice_sizes=[1,1],
              start_index_map=[1]} : f32[3]
          %5 = compare(%y, 0:i32) {direction="GE"} : bool[3]
          %6 = compare(%y, 5:i32) {direction="LT"} : bool[3]
          %7 = and(%5, %6) : bool[3]
          %8 = select(%7, %4, 0.0) : f32[3]
          return %8
        }""",
    )


GRAPH = """
graph @f(%x: f32[3,300], %y: DTYPE[3], %z: DTYPE[300]) -> (f32[SIZE]) {
  %0 = iota() {axis=1, dtype="DTYPE", shape=[3,300]} : DTYPE[3,300]
  %1 = broadcast_in_dim(%y) {dims=[0], shape=[3,300]} : DTYPE[3,300]
  %5 = broadcast_in_dim(%z) {dims=[1], shape=[3,300]} : DTYPE[3,300]
  %2 = compare(%0, LABEL) {direction="HOW"} : bool[3,300]
  %3 = select(%2, %x, OTHER) : f32[3,300]
  %4 = reduce_sum(%3) {axes=[AXIS]} : f32[SIZE]
  return %4
}
"""
PICK = {
    "DTYPE": "i32",
    "LABEL": "%1",
    "HOW": "EQ",
    "OTHER": "0.0",
    "AXIS": "1",
    "SIZE": "3",
}


def picked(changes: dict[str, str]) -> bool:
    text = GRAPH
    for name, value in {**PICK, **changes}.items():
        text = text.replace(name, value)
    return "gather(" in str(run(parse(text), "gather_picked,dce", check=True))


def test_labels_of_bytes_are_never_too_large():
    assert picked({"DTYPE": "u8", "300": "256"})


@pytest.mark.parametrize(
    "changes",
    [
        {"HOW": "LE"},
        {"OTHER": "1.0"},
        {"LABEL": "%5"},
        {"AXIS": "0", "SIZE": "300"},
        {"DTYPE": "i64", "LABEL": "0:i64"},
        {"DTYPE": "u8"},  # positions of 256 and more start again from 0
    ],
)
def test_other_sums_stay(changes: dict[str, str]):
    assert picked({})
    assert not picked(changes)
