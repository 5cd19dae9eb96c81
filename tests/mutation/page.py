"""``python -m tests.mutation.page``: writes docs/mutants.md from the table."""

from __future__ import annotations

from collections import Counter

from tests.mutation.mutants import ROOT, Mutant, read_mutants

PAGE = ROOT / "docs" / "mutants.md"

HEAD = """\
# Seeded bugs

`make mutants` seeds bugs into the compiler, one at a time, and counts those that the
checks notice. Each is an edit of one function ({path}): some were
written by hand after bugs that compilers have had, the others were made by rules
(`tests/mutation/generate.py`) and drawn with a seed. A bug lives in a child process
only; `tests/mutation/suite.py` says what is tried on it: types, samples against XLA,
gradients against differences, rules and pipelines over finite fields, and the tests
named after the file.

There are {count} bugs in {files} files:

{kinds}

The run fails if fewer than 95 of 100 are noticed. An edit that changes nothing that
could be noticed is no bug and is not counted. Bugs that no check notices so far:

{missed}

Edits that are no bugs:

{equivalent}
"""


def page(mutants: list[Mutant]) -> str:
    """The text of the page."""
    real = [mutant for mutant in mutants if not mutant.equivalent]
    folders = Counter(mutant.file.rsplit("/", 1)[0] for mutant in real)
    kinds = [f"| `{folder}` | {count} |" for folder, count in sorted(folders.items())]
    equivalent = [_item(mutant) for mutant in mutants if mutant.equivalent]
    missed = [_item(mutant) for mutant in real if mutant.missed]
    return HEAD.format(
        path="`tests/mutation/mutants.jsonl`",
        count=len(real),
        files=len({mutant.file for mutant in real}),
        kinds="\n".join(["| folder | bugs |", "|---|---|", *kinds]),
        missed="\n".join(missed) or "None.",
        equivalent="\n".join(equivalent),
    )


def _item(mutant: Mutant) -> str:
    why = f": {mutant.equivalent}" if mutant.equivalent else ""
    edit = f"`{_line(mutant.find)}` becomes `{_line(mutant.replace)}`"
    return f"* `{mutant.name}`{why}.\n  {edit}"


def _line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    PAGE.write_text(page(read_mutants()), encoding="utf-8")
