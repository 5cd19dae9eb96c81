"""Passes from the command line: memory budgets."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from graphc import passes
from graphc.cli.main import commands
from graphc.ir import evaluate, parse
from graphc.ir.random_inputs import random_inputs
from graphc.passes.memory_budget import plan_memory
from tests.closeness import assert_close
from tests.passes.training_steps import step

STEP, SMALL = step(2, 4, 16), step(1, 4, 8)
LOWERED = "autodiff,inline,decompose,dce"


def invoke(*arguments: object) -> Result:
    return CliRunner().invoke(commands, list(map(str, arguments)))


@pytest.fixture
def gir(tmp_path: Path) -> Path:
    path = tmp_path / "step.gir"
    path.write_text(str(STEP))
    return path


def test_a_budget_adds_passes_and_prints_the_bill(gir: Path) -> None:
    whole = plan_memory(STEP, LOWERED, 2**40)
    budget = whole.bill.peak - 1
    result = invoke("opt", gir, "-p", LOWERED, "--memory-budget", budget)
    assert result.exit_code == 0, result.output
    bill = result.stderr
    assert "predicted peak" in bill.splitlines()[0]
    assert "considered in turn:" in bill
    found, plain = parse(result.stdout), passes.run(STEP, LOWERED)
    assert len(found) > len(plain), "something is computed again"
    arrays = random_inputs(STEP)
    for got, want in zip(
        evaluate(found, *arrays), evaluate(plain, *arrays), strict=True
    ):
        assert_close(got, want)


def test_a_budget_that_is_met_changes_nothing(gir: Path) -> None:
    result = invoke("opt", gir, "-p", LOWERED, "--memory-budget", "1GiB")
    assert result.exit_code == 0, result.output
    assert parse(result.stdout) == passes.run(STEP, LOWERED)
    assert "nothing computed again" not in result.stdout


def test_a_budget_that_cannot_be_met_names_the_smallest(tmp_path: Path) -> None:
    gir = tmp_path / "small.gir"
    gir.write_text(str(SMALL))
    result = invoke("opt", gir, "-p", LOWERED, "--memory-budget", "1KB")
    assert result.exit_code != 0
    text = str(result.exception)
    assert "does not fit into a memory budget of 1000 B" in text
    smallest = int(text.partition("smallest feasible budget is ")[2].split()[0])
    assert plan_memory(SMALL, LOWERED, smallest).bill.peak <= smallest


def test_a_budget_needs_a_unit_that_exists(gir: Path) -> None:
    result = invoke("opt", gir, "--memory-budget", "3 parsec")
    assert result.exit_code != 0
    assert "3 parsec" in str(result.exception)
