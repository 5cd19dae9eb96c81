"""Dimension expressions: canonical form, arithmetic, text and limits."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from graphc.ir import GraphError, SymbolicDim
from graphc.ir.dims import Dim, floor_divide, parse_dim, substitute, symbols_of

B, T, H = (SymbolicDim.symbol(name) for name in "BTH")


@st.composite
def expressions(draw: st.DrawFn, depth: int = 3) -> tuple[str, Dim]:
    """A text and the dim that the same operations on objects give."""
    if depth == 0 or draw(st.booleans()):
        if draw(st.booleans()):
            number = draw(st.integers(0, 9))
            return str(number), number
        name = draw(st.sampled_from("BTH"))
        return name, SymbolicDim.symbol(name)
    left_text, left = draw(expressions(depth - 1))
    operator = draw(st.sampled_from(["+", "-", "*", "//"]))
    if operator == "//":
        divisor = draw(st.sampled_from([1, 2, 3, -2]))
        return f"({left_text})//({divisor})", floor_divide(left, divisor)
    right_text, right = draw(expressions(depth - 1))
    value = {"+": left + right, "-": left - right, "*": left * right}[operator]
    return f"({left_text}){operator}({right_text})", value


@given(expressions())
def test_text_parses_to_the_same_dim(expression: tuple[str, Dim]):
    text, value = expression
    assert parse_dim(text) == value
    assert parse_dim(str(value)) == value
    assert str(parse_dim(str(value))) == str(value)


@given(expressions(), st.tuples(*[st.integers(1, 50)] * 3))
def test_canonical_form_has_the_value_of_the_text(
    expression: tuple[str, Dim], sizes: tuple[int, int, int]
):
    text, value = expression
    bindings = dict(zip("BTH", sizes, strict=True))
    assert substitute(value, bindings) == eval(text, {}, dict(bindings))


@pytest.mark.parametrize(
    ("left", "right"),
    [
        (B * T, T * B),
        ((B + 1) * (B - 1), B * B - 1),
        (2 * B - B, B),
        ((4 * B + 8) // 4, B + 2),
        ((B * T) // T, B),
        ((2 * B + 1) // 2, B),
        (B - B, 0),
        (B * 0, 0),
        (0 - B, -B),
        ((B * B * 6) // (B * 2), B * 3),
    ],
)
def test_equal_polynomials_are_equal_objects(left: Dim, right: Dim):
    assert left == right
    assert hash(left) == hash(right)


@pytest.mark.parametrize(
    ("dim", "text"),
    [
        ((H - 1) // 2 + 1, "(H-1)//2+1"),
        (B * T + 2 * B + 1, "B*T+2*B+1"),
        (B * ((H - 1) // 2), "(H-1)//2*B"),
        (2 * ((H - 1) // 2), "2*((H-1)//2)"),
        (-((H - 1) // 2), "-((H-1)//2)"),
        (floor_divide(7, B), "7//B"),
        (B // (T + 1), "B//(T+1)"),
        (-B, "-B"),
        (5 - B * B, "-B*B+5"),
    ],
)
def test_text(dim: Dim, text: str):
    assert str(dim) == repr(dim) == text
    assert parse_dim(text) == dim


def test_unlike_dims_differ():
    assert B != T
    assert B != 1
    assert (B - 1) // 2 != B // 2
    assert len({B, T, B * T, T * B, B + 0, B // 2}) == 4


def test_symbols():
    assert symbols_of([3, B * T, (H - 1) // 2]) == {"B", "T", "H"}
    assert (7 // (B + 1)).symbols() == {"B"}


def test_substitute_keeps_what_is_not_bound():
    assert substitute(B * T + H, {"B": 4}) == 4 * T + H
    assert substitute((H - 1) // 2, {"H": B}) == (B - 1) // 2
    assert substitute((H - 1) // 2, {"H": 8}) == 3
    assert substitute(12, {"B": 4}) == 12


@pytest.mark.parametrize(
    "text",
    [
        *("", " ", "+", "B+", "B**2", "B/2", "(B", "B)", "()", "1 2", "B T", "2B"),
        *("B%2", "3.5", "-", "B--", "B,T", "β", "B²", "B\n\0", "B.x", "1e3"),
        *("(" * 100000, "-" * 100000, "+1" * 1000, "9" * 5000, "B" * 100000),
        *("(" * 33 + "1" + ")" * 33, "B//" + "(" * 40),
    ],
)
def test_text_that_is_no_dimension(text: str):
    with pytest.raises(GraphError, match="is not a dimension expression"):
        parse_dim(text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("B//0", "division of a dimension by zero"),
        ("4//(2-2)", "division of a dimension by zero"),
        ("B*B*B*B*B*B*B*B*B", "exceeds degree 8"),
        (f"B*{2**62}*2", "too large"),
        ("*".join(["(A+B+C+D+E+F+G+H)"] * 4), "too large"),
    ],
)
def test_limits(text: str, message: str):
    with pytest.raises(GraphError, match=message):
        parse_dim(text)


@pytest.mark.parametrize(
    "use",
    [bool, int, range, lambda d: d < 3, lambda d: d >= 3, lambda d: [0][d], max],
    ids=["bool", "int", "range", "less", "at least", "index", "max"],
)
def test_the_value_is_not_known(use):
    with pytest.raises(GraphError, match="dimension B is not known while tracing"):
        use((B, 3) if use is max else B)


def test_other_types_are_refused():
    for operation in (
        lambda: B + 1.5,
        lambda: B - "1",
        lambda: B * None,
        lambda: B // 2.0,
    ):
        with pytest.raises(TypeError):
            operation()
