"""Results in a file per GPU, and as a table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from benchmarks.gpu.frameworks import EAGER, JAX, OURS, TUNED
from benchmarks.gpu.measure import geometric_mean
from benchmarks.gpu.rows import ROWS, Row

DIRECTORY = Path(__file__).parent.parent / "results"

BASELINES = (EAGER, TUNED, JAX)
"""The contestants that goals are set against."""

Results = dict[str, Any]


def path_for(gpu: str, directory: Path = DIRECTORY) -> Path:
    """The file of a GPU's results."""
    return directory / f"{re.sub(r'[^A-Za-z0-9]+', '-', gpu).strip('-')}.json"


def load(path: Path) -> Results:
    """All rows measured so far."""
    return json.loads(path.read_text()) if path.exists() else {}


def keep(path: Path, row: str, case: Mapping[str, Any]) -> None:
    """Puts a case into its row, in the place of what was measured before."""
    found = load(path)
    others = [
        c for c in found.get(row, {}).get("cases", ()) if c["name"] != case["name"]
    ]
    _write(path, found | {row: {"cases": [*others, dict(case)]}})


def keep_error(path: Path, row: str, error: str) -> None:
    """Writes down why a row could not be finished."""
    found = load(path)
    _write(path, found | {row: {"cases": [], **found.get(row, {}), "error": error}})


def measured(path: Path, row: str, commit: str) -> set[str]:
    """The names of the cases of a row that were measured at a commit."""
    cases = load(path).get(row, {}).get("cases", ())
    return {case["name"] for case in cases if case["commit"] == commit}


def _write(path: Path, found: Results) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ordered = {name: found[name] for name in ROWS if name in found}
    path.write_text(json.dumps(ordered, indent=1) + "\n")


def table(results: Results) -> str:
    """The rows as text: times, ratios with their goals, shares of the ceilings."""
    lines = [
        f"{'':44} {'us':>10}  ratio to graphc (least..most), > 1: graphc is faster",
    ]
    for name, row in ROWS.items():
        if name in results:
            lines += ["", f"{name}  {row.question}", *_row_lines(row, results[name])]
    return "\n".join(lines)


def _row_lines(row: Row, result: Mapping[str, Any]) -> Iterator[str]:
    cases = result["cases"]
    for about in dict.fromkeys(map(_about, cases)):
        yield f"  {about}"
    for case in cases:
        yield from _case_lines(row, case, case["ceilings"])
    if "error" in result:
        yield f"  failed: {result['error']}"
    yield from _means(row, cases)


def _about(case: Mapping[str, Any]) -> str:
    """What a case was measured on: equal for all of one run."""
    ceilings = case["ceilings"]
    rates = [
        f"{ceilings['copy'] / 1e12:.2f} TB/s copied" if "copy" in ceilings else "",
        f"{ceilings['gemm'] / 1e12:.0f} TFLOP/s GEMM" if "gemm" in ceilings else "",
    ]
    where = f"{case['gpu']}, {case['date']}, {case['commit'][:8]}"
    return ", ".join([where, *filter(None, rates)])


def _case_lines(
    row: Row, case: Mapping[str, Any], ceilings: Mapping[str, float]
) -> Iterator[str]:
    contestants = case["contestants"]
    if not case["rounds"]:
        yield f"  {case['name']:42} {'':10}  right, not measured"
        return
    seconds = contestants[OURS]["seconds"]["median"]
    share = "; ".join(_shares(row, case, ceilings))
    yield f"  {case['name']:42} {seconds * 1e6:10.1f}  {share}".rstrip()
    for name, found in contestants.items():
        if name == OURS:
            continue
        ratio = found["ratio"]
        text = f"{ratio['median']:6.2f} ({ratio['min']:.2f}..{ratio['max']:.2f})"
        note = found.get("note", "")
        seconds = found["seconds"]["median"]
        yield f"    {name:40} {seconds * 1e6:10.1f}  {text} {note}".rstrip()


def _shares(
    row: Row, case: Mapping[str, Any], ceilings: Mapping[str, float]
) -> Iterator[str]:
    if row.ceiling is not None:
        kind, goal = row.ceiling
        rate = case.get({"copy": "bytes_per_second", "gemm": "flops_per_second"}[kind])
        if rate and kind in ceilings:
            share = rate / ceilings[kind]
            yield f"{share:.0%} of the {kind} rate (goal {goal:.0%})"
    if "workspace" in case and row.workspace is not None:
        yield f"workspace {case['workspace']:.2f} of the logits (at most {row.workspace})"


def _means(row: Row, cases: Any) -> Iterator[str]:
    """The geometric mean over the cases for each baseline, with its floor and goal."""
    for name in BASELINES:
        ratios = [
            case["contestants"][name]["ratio"]["median"]
            for case in cases
            if name in case["contestants"] and case["rounds"]
        ]
        if not ratios or name not in row.goals:
            continue
        floor, goal = row.goals[name]
        mean, least = geometric_mean(ratios), min(ratios)
        verdict = "reached" if mean >= goal else "not reached"
        if floor is not None and least < floor:
            verdict = f"{least:.2f} is below the floor of {floor:.2f}"
        yield f"  {f'mean vs {name}':42} {'':10}  {mean:6.2f} goal {goal:.2f}: {verdict}"
