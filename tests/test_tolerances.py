"""How close results must be stands in one table: no test has numbers of its own."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

COMPARERS = {
    *("allclose", "isclose", "approx", "assert_allclose", "assert_almost_equal"),
    *("assert_approx_equal", "assert_array_almost_equal", "assert_array_max_ulp"),
    *("assert_array_almost_equal_nulp",),
}
"""Functions of libraries that compare by tolerances of their own."""

LIBRARIES = {"math", "np", "np.testing", "pytest", "torch"}

WIDTHS = {"abs_tol", "atol", "rel_tol", "rtol", "tol", "ulp"}
"""Names of arguments that say how far apart two numbers may be."""

SMALL = 0.01
"""What is compared with a number below this is an error."""

NEAR = 0.1
"""What differs by less than this is called equal."""

HAVE_NUMBERS = {
    "closeness.py": "what is compared with how many times the table's tolerance",
    "frontend/ops/examples.py": "tolerances are arguments of what is tested",
    "frontend/ops/rarer_examples.py": "tolerances are arguments of what is tested",
    "frontend/test_progress.py": "seconds",
    "ir/test_tolerance.py": "tests the table",
    "test_tolerances.py": "has examples",
}
"""Files that have numbers, with the reason."""

FILES = [
    path
    for path in sorted(TESTS.rglob("*.py"))
    if path.relative_to(TESTS).as_posix() not in HAVE_NUMBERS
]


def problems(source: str) -> Iterator[str]:
    """What in a test file is a tolerance of its own, with the line."""
    tree = ast.parse(source)
    numbers = Numbers(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            yield from (f"{node.lineno}: {what}" for what in of_call(node, numbers))
        if isinstance(node, ast.Compare) and is_tolerance(node, numbers):
            yield f"{node.lineno}: {ast.unparse(node)}"


def of_call(call: ast.Call, numbers: Numbers) -> Iterator[str]:
    """What is wrong with a call."""
    name = dotted(call.func)
    library, _, function = name.rpartition(".")
    # Python's own default is nine digits, for what Python computes.
    by_default = name == "math.isclose" and not call.keywords
    if function in COMPARERS and library in LIBRARIES and not by_default:
        yield f"calls {name}"
    if name == "Tolerance" and any(map(numbers.within, call.args)):
        yield f"makes a tolerance: {ast.unparse(call)}"
    for keyword in call.keywords:
        if keyword.arg in WIDTHS and numbers.value(keyword.value):
            yield f"{keyword.arg}={ast.unparse(keyword.value)}"


def is_tolerance(node: ast.Compare, numbers: Numbers) -> bool:
    """Whether an error, or a difference, is compared with a number."""
    if not all(isinstance(op, (ast.Lt, ast.LtE, ast.Gt, ast.GtE)) for op in node.ops):
        return False
    sides = [node.left, *node.comparators]
    limits = [limit for side in sides if (limit := numbers.value(side))]
    names = {name for side in sides for name in called(side)} if limits else {}
    least = NEAR if "-abs" in names else SMALL
    return any(0 < limit < least or "ulp_error" in names for limit in limits)


def called(expression: ast.AST) -> Iterator[str]:
    """The functions called in an expression; of a difference ``-abs``."""
    for node in ast.walk(expression):
        if isinstance(node, ast.Call):
            name = dotted(node.func).rpartition(".")[2]
            parts = [part for each in node.args for part in ast.walk(each)]
            differs = any(isinstance(part, ast.Sub) for part in parts)
            yield f"-{name}" if differs and name == "abs" else name


def dotted(expression: ast.expr) -> str:
    """The name that an expression is, with dots; empty for any other."""
    match expression:
        case ast.Name(id=name):
            return name
        case ast.Attribute(value=owner, attr=name):
            return f"{dotted(owner)}.{name}"
        case _:
            return ""


class Numbers:
    """The numbers in a file: literals, and what the file calls by a name."""

    def __init__(self, tree: ast.Module) -> None:
        self.named: dict[str, float] = {}
        for node in tree.body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.named[node.targets[0].id] = self.value(node.value)

    def value(self, expression: ast.AST) -> float:
        """The number that an expression is; 0 if it is none."""
        match expression:
            case ast.Constant(value=int() | float() as value):
                return value
            case ast.Name(id=name):
                return self.named.get(name, 0)
            case _:
                return 0

    def within(self, expression: ast.AST) -> float:
        """The largest number in an expression."""
        return max(map(self.value, ast.walk(expression)))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.relative_to(TESTS).as_posix())
def test_no_test_has_tolerances_of_its_own(path: Path):
    assert list(problems(path.read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "line",
    [
        "np.testing.assert_allclose(a, b)",
        "assert a == pytest.approx(b, rel=1e-5)",
        "assert np.allclose(a, b)",
        "assert math.isclose(a, b, rel_tol=1e-3)",
        "mismatch(a, b, Tolerance(1e-3, 0))",
        "ACCURACY = 1e-3\nmismatch(a, b, Tolerance(0, scale * ACCURACY))",
        "check_pass(before, after, ulp=4)",
        "ULP = 4\ncheck_pass(before, after, ulp=ULP)",
        "assert abs(a - b) < 0.02",
        "assert np.abs(a - b).max() <= 5e-2",
        "assert error < 1e-5",
        "assert ulp_error(a, b) <= 16",
    ],
)
def test_tolerances_are_found(line: str):
    assert list(problems(line))


@pytest.mark.parametrize(
    "line",
    [
        "mismatch(a, b, Tolerance(row.relative, 0))",
        "assert math.isclose(a, b)",
        "assert_close(a, b, Comparison.GRADIENTS)",
        "assert ulp_error(a, b) <= OPS['erf'].ulp",
        "assert np.abs(x).max() < 2",
        "assert share > 0.99",
    ],
)
def test_other_comparisons_are_not(line: str):
    assert list(problems(line)) == []
