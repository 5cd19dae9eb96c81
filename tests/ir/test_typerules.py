"""Type rules that ops share: what they accept and how their errors stay short."""

import pytest

from graphc.ir import GraphError, tensor_type
from graphc.ir.typerules import checked_axes, require, same_type


def test_axes_are_distinct_and_within_the_rank():
    assert checked_axes("sum", [2, 0], 3) == (2, 0)
    for axes in ([0, 0], [3], [-1]):
        with pytest.raises(GraphError, match=r"sum: axes must be .* within 0\.\.2"):
            checked_axes("sum", axes, 3)


def test_long_lists_are_cut_in_errors():
    with pytest.raises(GraphError) as raised:
        checked_axes("sum", range(100_000), 3)
    assert str(raised.value).endswith("14, 15, ... (100000 in all)]")
    with pytest.raises(GraphError) as raised:
        require(False, "too many", *[tensor_type("f32[3]")] * 5000)
    assert str(raised.value).endswith("f32[3], ... (5000 in all)")


def test_only_scalars_stretch():
    matrix, scalar = tensor_type("f32[B,2]"), tensor_type("f32[]")
    assert same_type("add", scalar, matrix, scalar) == matrix
    with pytest.raises(GraphError, match="only rank-0 operands stretch"):
        same_type("add", matrix, tensor_type("f32[2]"))
    with pytest.raises(GraphError, match="must have the same dtype"):
        same_type("add", matrix, tensor_type("f16[]"))
