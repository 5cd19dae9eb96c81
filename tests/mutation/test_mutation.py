"""The seeded bugs are noticed: a handful here, all of them by ``make mutants``."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.mutation.mutants import ROOT, mutated, read_mutants
from tests.mutation.page import PAGE, page

MUTANTS = read_mutants()
SHARDS = 8
HANDFUL = "identities/arithmetic.py:add"


def judge(*options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "tests.mutation", *options]
    return subprocess.run(command, cwd=ROOT, capture_output=True, text=True)


def test_the_table_has_enough_bugs_of_the_present_source():
    assert len({(m.file, m.function, m.replace) for m in MUTANTS}) == len(MUTANTS)
    real = [mutant for mutant in MUTANTS if not mutant.equivalent]
    assert len(real) >= 200
    stale = 0
    for mutant in MUTANTS:
        source = (ROOT / mutant.file).read_text(encoding="utf-8")
        try:
            assert mutated(mutant, source) != source
        except LookupError:
            stale += 1
    assert stale <= len(MUTANTS) // 10, "run python -m tests.mutation.generate"


def test_the_page_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == page(MUTANTS), (
        "run python -m tests.mutation.page"
    )


def test_a_handful_is_noticed():
    result = judge("--only", HANDFUL, "--least", "1")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "killed" in result.stdout


@pytest.mark.slow
@pytest.mark.parametrize("shard", range(1, SHARDS + 1))
def test_nearly_all_are_noticed(shard: int):
    result = judge("--shard", f"{shard}/{SHARDS}", "--least", "0.9")
    assert result.returncode == 0, result.stdout + result.stderr
