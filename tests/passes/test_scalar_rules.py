"""Rules on single elements, proved: no input tells the program before from the one after.

The examples of a rule become terms of z3, before and after the rule has fired: integers
bit vectors, floats of IEEE's half precision, or reals where a rule may reassociate.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest
import z3

from graphc.ir import Graph, Literal, Node
from graphc.ir.types import BOOL, DType
from graphc.ir.values import Operand
from graphc.passes import Rule
from graphc.passes.canonicalize import RULES
from graphc.passes.rule import Example, NumericsClass
from graphc.testing.rule_cases import rewritten

DTYPES = ("i8", "u8", "f16", "bool")
"""The dtypes that stand for all others in examples that accept any."""

PROVED = {
    "literal_last idempotent add_zero subtract_zero subtract_from_zero subtract_itself",
    "times_one times_minus_one times_zero remainder_of_one shift_by_zero",
    "limit_of_dtype same_operands double_negation add_negated subtract_negated",
    "multiply_negated negated_by_literal negated_difference absolute_of_negated",
    "divide_by_power_of_two collect_integers collect_floats compare_with_literal",
    "compare_itself not_compare select_known select_same select_of_truth select_by_not",
    "neutral_bits absorbing_bits xor_itself convert_twice end_of_differentiation",
    "unsigned_by_power_of_two collect_limits select_nested",
}
"""Rules whose examples are proved."""

STRUCTURAL = {
    "same_shape reshape_twice transpose_nothing transpose_twice transpose_of_units",
    "broadcast_twice broadcast_reshaped transpose_broadcast slice_twice",
    "slice_of_concatenated pad_nothing concatenate_one concatenate_empty",
    "concatenate_concatenated reverse_nothing reverse_twice stretch_instead",
    "move_uniform known_size iota_of_one reduce_nothing reduce_twice reduce_units",
    "call_known_branch skip_loop_of_no_steps move_last undo_moves",
    "concatenate_transposed slice_broadcast slice_transposed slice_computed",
    "slice_of_some_parts slice_of_padded pad_twice crop_by_slice",
    "concatenate_neighbours reverse_broadcast reduce_moved reduce_broadcast",
    "sum_equal_integers sum_equal_floats sum_of_multiples convolution_of_padded",
    "scale_product scale_factor convert_around_move gather_computed slice_gathered",
    "concatenate_gathered",
}
"""Rules about many elements at once, which the evaluators check."""

SAMPLED = {
    # z3 has no powers, and no theory keeps a nan's bits.
    "power_of_zero power_of_one bitcast_twice convert_to_same",
}
"""Exact rules of single elements that have no theory; tried on special values."""


def names(of: set[str]) -> set[str]:
    return {name for line in of for name in line.split()}


KNOWN = {rule.name: rule for rule in RULES.rules}


def test_every_rule_is_proved_or_says_why_not():
    inexact = {
        rule.name
        for rule in RULES.rules
        if rule.numerics.kind in (NumericsClass.APPROX, NumericsClass.PRECISION)
    }
    told = [names(PROVED), names(STRUCTURAL), names(SAMPLED), inexact]
    assert set().union(*told) == KNOWN.keys()
    assert sum(map(len, told)) == len(KNOWN), "a rule is in two of the tables"


def cases() -> Iterator[Any]:
    for name in sorted(names(PROVED) & KNOWN.keys()):
        for number, example in enumerate(KNOWN[name].examples):
            yield pytest.param(KNOWN[name], example, id=f"{name}-{number}")


@pytest.mark.parametrize(("rule", "example"), list(cases()))
def test_rule_is_proved(rule: Rule, example: Example):
    count = 0
    for before, after in rewritten(rule, example):
        wanted = [p.dtype.name for p in before.parameters]
        if any(t.startswith("T[") for t in example.types) and wanted[0] not in DTYPES:
            continue
        real = rule.numerics.kind is NumericsClass.REASSOCIATES
        found = counterexample(before, after, Terms(real))
        assert found is None, f"{rule.name} is wrong for {found}:\n{before}"
        count += 1
    assert count, f"{rule.name} fires on no dtype that is translated"


def test_a_wrong_rule_is_found_out():
    graphs = list(rewritten(KNOWN["add_zero"], KNOWN["add_zero"].examples[0]))
    before, after = next(g for g in graphs if g[0].parameters[0].dtype.name == "f16")
    wrong = before.copy()
    add = next(iter(wrong.nodes))
    add.set_operand(1, Literal(0.0, add.results[0].dtype))
    assert counterexample(before, after, Terms(False)) is None
    assert counterexample(wrong, after, Terms(False)) is not None


# -- terms -----------------------------------------------------------------------------


def counterexample(before: Graph, after: Graph, terms: Terms) -> Any:
    """An input for which the graphs differ, or None if that is proved impossible."""
    inputs = [terms.variable(f"x{i}", p.dtype) for i, p in enumerate(before.parameters)]
    results = [terms.run(graph, inputs) for graph in (before, after)]
    loose = any(n.op.name in ("maximum", "minimum") for n in before.nodes)
    solver = z3.Solver()
    solver.add(
        z3.Or(*[z3.Not(same(a, b, loose)) for a, b in zip(*results, strict=True)])
    )
    answer = solver.check()
    assert answer != z3.unknown, solver.reason_unknown()
    return solver.model() if answer == z3.sat else None


def same(a: Any, b: Any, loose: bool) -> Any:
    """Whether results are the same; which zero a maximum is, no op says."""
    if loose and z3.is_fp(a):
        return z3.Or(a == b, z3.fpEQ(a, b))
    return a == b


class Terms:
    """Translates graphs, of which each tensor stands for one of its elements.

    Args:
        real: Whether floats are reals.
    """

    def __init__(self, real: bool) -> None:
        self.real = real

    def sort(self, dtype: DType) -> Any:
        """What holds elements of a dtype."""
        if dtype is BOOL:
            return z3.BoolSort()
        if not dtype.is_float:
            return z3.BitVecSort(dtype.bits)
        if self.real:
            return z3.RealSort()
        exponent = {"bf16": 8, "f32": 8, "f64": 11}.get(dtype.name, 5)
        return z3.FPSort(exponent, dtype.bits - exponent)

    def variable(self, name: str, dtype: DType) -> Any:
        return z3.Const(name, self.sort(dtype))

    def number(self, value: Any, dtype: DType) -> Any:
        sort = self.sort(dtype)
        if dtype is BOOL:
            return z3.BoolVal(bool(value))
        if not dtype.is_float:
            return z3.BitVecVal(value, sort)
        return z3.RealVal(value) if self.real else z3.FPVal(value, sort)

    def run(self, graph: Graph, inputs: list[Any]) -> list[Any]:
        """The terms of the results."""
        known: dict[Operand, Any] = dict(zip(graph.parameters, inputs, strict=True))

        def read(operand: Operand) -> Any:
            if isinstance(operand, Literal):
                return self.number(operand.value, operand.dtype)
            return known[operand]

        for node in graph.nodes:
            known[node.result] = self.apply(node, [read(o) for o in node.operands])
        return [read(result) for result in graph.results]

    def apply(self, node: Node, x: list[Any]) -> Any:
        """The term of a node's result."""
        dtype, name = node.operands[0].type.dtype, node.op.name
        if name == "convert":
            return self.converted(x[0], dtype, node.result.dtype)
        if name in ("select", "broadcast_in_dim", "stop_gradient"):
            return z3.If(x[0], x[1], x[2]) if name == "select" else x[0]
        kind = "bool" if dtype is BOOL else "float" if dtype.is_float else dtype.kind
        if name == "compare":
            return ORDER[kind, self.real][node.attributes["direction"]](*x)
        if self.real:
            return REAL[name](*x)
        return MEANING[kind][name](*x)

    def converted(self, x: Any, source: DType, target: DType) -> Any:
        """A conversion: to integers towards zero and saturating, else to the nearest."""
        if source is BOOL:
            one, zero = (self.number(n, target) for n in (1, 0))
            return x if target is BOOL else z3.If(x, one, zero)
        if target is BOOL:
            zero = self.number(0, source)
            return z3.Not(z3.fpEQ(x, zero)) if source.is_float else x != zero
        sort, signed = self.sort(target), source.kind == "int"
        if target.is_float:
            if source.is_float:
                return z3.fpFPToFP(z3.RNE(), x, sort)
            to_float = z3.fpSignedToFP if signed else z3.fpUnsignedToFP
            return to_float(z3.RNE(), x, sort)
        if not source.is_float:
            extra = target.bits - source.bits
            if extra <= 0:
                return z3.Extract(target.bits - 1, 0, x)
            return z3.SignExt(extra, x) if signed else z3.ZeroExt(extra, x)
        low = -(2 ** (target.bits - 1)) if target.kind == "int" else 0
        high = low + 2**target.bits - 1
        to_int = z3.fpToSBV if target.kind == "int" else z3.fpToUBV
        inside = to_int(z3.RTZ(), x, sort)
        value = z3.If(x <= z3.FPVal(low, x.sort()), z3.BitVecVal(low, sort), inside)
        value = z3.If(x >= z3.FPVal(high, x.sort()), z3.BitVecVal(high, sort), value)
        return z3.If(z3.fpIsNaN(x), z3.BitVecVal(0, sort), value)


def extreme(less: Callable[..., Any]) -> Callable[..., Any]:
    """The maximum, where `less` says that the first operand is not it."""
    return lambda x, y: z3.If(less(x, y), y, x)


def float_extreme(less: Callable[..., Any]) -> Callable[..., Any]:
    def chosen(x: Any, y: Any) -> Any:
        return z3.If(z3.fpIsNaN(x), x, z3.If(z3.Or(z3.fpIsNaN(y), less(x, y)), y, x))

    return chosen


RNE = z3.RNE()
COMMON: dict[str, Callable[..., Any]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "multiply": lambda x, y: x * y,
    "negate": lambda x: -x,
    "and": lambda x, y: x & y,
    "or": lambda x, y: x | y,
    "xor": lambda x, y: x ^ y,
    "not": lambda x: ~x,
    "shift_left": lambda x, y: x << y,
    "shift_right_logical": z3.LShR,
    "shift_right_arithmetic": lambda x, y: x >> y,
}
MEANING: dict[str, dict[str, Callable[..., Any]]] = {
    "int": {
        **COMMON,
        "divide": lambda x, y: x / y,
        "remainder": z3.SRem,
        "maximum": extreme(lambda x, y: x < y),
        "minimum": extreme(lambda x, y: x > y),
        "abs": lambda x: z3.If(x < 0, -x, x),
    },
    "uint": {
        **COMMON,
        "divide": z3.UDiv,
        "remainder": z3.URem,
        "maximum": extreme(z3.ULT),
        "minimum": extreme(z3.UGT),
        "abs": lambda x: x,
    },
    "bool": {
        "and": z3.And,
        "or": z3.Or,
        "xor": z3.Xor,
        "not": z3.Not,
        "maximum": z3.Or,
        "minimum": z3.And,
    },
    "float": {
        "add": lambda x, y: z3.fpAdd(RNE, x, y),
        "subtract": lambda x, y: z3.fpSub(RNE, x, y),
        "multiply": lambda x, y: z3.fpMul(RNE, x, y),
        "divide": lambda x, y: z3.fpDiv(RNE, x, y),
        "negate": z3.fpNeg,
        "abs": z3.fpAbs,
        "floor": lambda x: z3.fpRoundToIntegral(z3.RTN(), x),
        "maximum": float_extreme(z3.fpLT),
        "minimum": float_extreme(z3.fpGT),
    },
}
REAL = {name: COMMON[name] for name in ("add", "subtract", "multiply", "negate")}
ORDER: dict[tuple[str, bool], dict[str, Callable[..., Any]]] = {
    ("int", False): {
        "EQ": lambda x, y: x == y,
        "NE": lambda x, y: x != y,
        "LT": lambda x, y: x < y,
        "LE": lambda x, y: x <= y,
        "GT": lambda x, y: x > y,
        "GE": lambda x, y: x >= y,
    },
    ("float", False): {
        "EQ": z3.fpEQ,
        "NE": z3.fpNEQ,
        "LT": z3.fpLT,
        "LE": z3.fpLEQ,
        "GT": z3.fpGT,
        "GE": z3.fpGEQ,
    },
    ("bool", False): {
        "EQ": lambda x, y: x == y,
        "NE": z3.Xor,
        "LT": lambda x, y: z3.And(z3.Not(x), y),
        "LE": z3.Implies,
        "GT": lambda x, y: z3.And(x, z3.Not(y)),
        "GE": lambda x, y: z3.Implies(y, x),
    },
}
ORDER["uint", False] = {
    **ORDER["int", False],
    "LT": z3.ULT,
    "LE": z3.ULE,
    "GT": z3.UGT,
    "GE": z3.UGE,
}
