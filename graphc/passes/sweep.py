"""Going through a graph for local rewrites, where there may be something to rewrite."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from graphc.ir.graph import Graph, Node
from graphc.passes.rewrite import Rewriter


def sweep(graph: Graph, rewriter: Rewriter) -> Iterator[Node]:
    """The nodes of `graph`, in order, that a pass of local rewrites has to look at.

    All of them, or if the pass has ended before in this compile, those near what was
    touched since; and on the way those near what it rewrites itself. So what it does
    with a node must follow from the node and its neighbours: what makes its operands,
    and what reads these and its results.

    Args:
        graph: The graph.
        rewriter: What the pass rewrites with, between one node and the next.
    """
    due = rewriter.journal.due(graph)
    queue = deque(graph.nodes)
    # Nodes that are ahead need not be queued again; if all are due, these are they.
    ahead = set(queue) if len(due) < len(queue) else due

    def touch(node: Node) -> None:
        if node in due or node is graph.return_node:
            return
        if node not in ahead:
            queue.append(node)
        due.add(node)

    rewriter.listener = touch
    while queue:
        node = queue.popleft()
        is_due = node in due
        due.discard(node)
        ahead.discard(node)
        if is_due and node.graph is graph:
            rewriter.ledger.visits += 1
            yield node
    rewriter.listener = None
