"""What passes did, as data for a page: stages with their changes, and the ledger."""

from __future__ import annotations

from typing import Any

from graphc.ir.graph import Graph
from graphc.passes import GraphDiff, Report
from graphc.passes.graph_diff import NodeChange, PassDiff
from graphc.passes.ledger import Refusal, Rewrite
from graphc.passes.pass_manager import PassRun
from graphc.viewer.programs import Programs

MOST_CHANGES = 500
"""How many changed nodes of a stage a page holds; it counts all of them."""

MOST_REWRITES = 100
"""How many rewrites by one rule a page holds; it counts all of them."""

MOST_REFUSALS = 50
"""How many refusals for one reason a page holds; it counts all of them."""

MOST_TEXT = 400
"""How many characters of a changed node's text a page holds."""


class Changes:
    """Watches a pass manager; keeps of each pass what a page shows."""

    def __init__(self) -> None:
        self._diff = GraphDiff(self._keep)
        self._kept: dict[PassRun, dict[str, Any]] = {}

    def __call__(self, run: PassRun | None, graph: Graph) -> None:
        self._diff(run, graph)

    def _keep(self, diff: PassDiff) -> None:
        every = [(name, c) for name, found in diff.changes.items() for c in found]
        added = sum(change.before is None for _, change in every)
        removed = sum(change.after is None for _, change in every)
        self._kept[diff.run] = {
            "added": added,
            "removed": removed,
            "changed": len(every) - added - removed,
            "changes": [_change(*each) for each in every[:MOST_CHANGES]],
        }

    def stages(self, report: Report) -> list[dict[str, Any]]:
        """The runs of passes, with what each changed."""
        return [self._stage(run) for run in report.runs]

    def _stage(self, run: PassRun) -> dict[str, Any]:
        nothing = {"added": 0, "removed": 0, "changed": 0, "changes": []}
        return {
            "name": run.name,
            "seconds": run.seconds,
            "before": run.nodes_before,
            "after": run.nodes_after,
            "rewrites": run.rewrites,
            "refusals": run.refusals,
            **self._kept.get(run, nothing),
        }


def _change(graph: str, change: NodeChange) -> list[str | None]:
    return [graph, change.path, _cut(change.before), _cut(change.after)]


def _cut(text: str | None) -> str | None:
    if text is None or len(text) <= MOST_TEXT:
        return text
    return f"{text[:MOST_TEXT]} ..."


def ledger(report: Report, programs: Programs) -> dict[str, Any]:
    """Rewrites by rule and refusals by reason, counted; the first of each in full."""
    by_rule: dict[str, list[Rewrite]] = {}
    for rewrite in report.ledger.rewrites:
        by_rule.setdefault(f"{rewrite.pass_name}/{rewrite.rule}", []).append(rewrite)
    by_reason: dict[tuple[str, str], list[Refusal]] = {}
    for refusal in report.ledger.refusals:
        rule = f"{refusal.pass_name}/{refusal.rule}"
        by_reason.setdefault((rule, refusal.reason), []).append(refusal)
    return {
        "rewrites": [
            {
                "rule": rule,
                "count": len(found),
                "entries": [_rewrite(r, programs) for r in found[:MOST_REWRITES]],
            }
            for rule, found in by_rule.items()
        ],
        "refusals": [
            {
                "rule": rule,
                "reason": reason,
                "count": len(found),
                "entries": [_refusal(r, programs) for r in found[:MOST_REFUSALS]],
            }
            for (rule, reason), found in by_reason.items()
        ],
    }


def _rewrite(rewrite: Rewrite, programs: Programs) -> list[Any]:
    """The number, the graph, the line and the text of a rewrite."""
    node = rewrite.node
    text = "the graph" if node is None else str(node)
    if rewrite.replacement is not None:
        text += f" -> {', '.join(map(str, rewrite.replacement))}"
    line = programs.line(None if node is None else node.location)
    return [rewrite.number, rewrite.graph, line, _cut(text)]


def _refusal(refusal: Refusal, programs: Programs) -> list[Any]:
    """The graph, the line and the text of a refusal."""
    text = str(refusal.node)
    if refusal.kernels:
        text = f"{' and '.join(refusal.kernels)}: {text}"
    return [refusal.graph, programs.line(refusal.node.location), _cut(text)]
