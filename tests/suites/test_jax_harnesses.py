"""jax's harnesses of its primitives, imported from StableHLO and run."""

import datetime
from typing import Any

import numpy as np
import pytest

pytest.importorskip("absl")  # jax's harnesses need it

from tests.suites import jax_harnesses
from tests.suites.jax_harnesses import Outcome

PARTS = 64
DAILY = 24


@pytest.fixture(scope="module")
def known() -> list[Any]:
    return jax_harnesses.harnesses()


def assert_as_expected(outcomes: list[Outcome]) -> None:
    surprises = [outcome for outcome in outcomes if not outcome.is_expected]
    assert not surprises, "\n".join(map(str, surprises))


def test_cases_of_the_day(known: list[Any]):
    today = datetime.datetime.now(datetime.UTC).date().toordinal()
    chosen = jax_harnesses.rotation(known, today, DAILY)
    assert len({harness.group_name for harness in chosen}) == DAILY
    assert_as_expected([jax_harnesses.run(harness) for harness in chosen])


@pytest.mark.slow
@pytest.mark.parametrize("part", range(PARTS))
def test_all_cases(known: list[Any], part: int):
    chosen = known[part::PARTS]
    assert_as_expected([jax_harnesses.run(harness) for harness in chosen])


def test_a_rotation_goes_through_groups_and_cases(known: list[Any]):
    groups = jax_harnesses.by_group(known)
    turns = -(-len(groups) // DAILY)
    chosen = [
        harness.group_name
        for number in range(turns)
        for harness in jax_harnesses.rotation(known, number, DAILY)
    ]
    assert set(chosen) == set(groups)


@pytest.mark.parametrize(
    ("outcome", "expected"),
    [
        (Outcome("add_x", "add", "pass"), True),
        (Outcome("add_x", "add", "wrong", "1 of 3 differ"), False),
        (Outcome("add_x", "add", "unsupported", "stablehlo.add"), False),
        (Outcome("rare_x", "", "pass"), False),
        (Outcome("rare_x", "", "unsupported", "stablehlo.rare: no"), True),
        (Outcome("rare_x", "", "unsupported", "stablehlo.while: no"), False),
    ],
)
def test_surprises_are_told_from_expected_failures(
    outcome: Outcome, expected: bool, monkeypatch: pytest.MonkeyPatch
):
    table = {"rare_*": "stablehlo.rare"}
    monkeypatch.setattr(jax_harnesses, "EXPECTED_UNSUPPORTED", table)
    assert outcome.is_expected == expected


def test_a_wrong_result_is_found():
    right = np.array([1.0, 2.0], np.float16)
    wrong = np.array([1.0, 2.1], np.float16)
    assert jax_harnesses.disagreement(right, right, right) is None
    assert jax_harnesses.disagreement(wrong, right, right)
    # As wrong as what it was imported from: both executors share a wrong import.
    assert jax_harnesses.disagreement(wrong, right, wrong.astype(np.float64))
