"""Precision: computes products, and what lies between them, in a narrower float."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any, ClassVar, final

from ml_dtypes import finfo

from graphc.ir.body import as_tuple
from graphc.ir.errors import PassError
from graphc.ir.graph import Graph, Node
from graphc.ir.opdef import OPS, Trait
from graphc.ir.ops import (
    abs_,
    convert,
    divide,
    maximum,
    multiply,
    reduce_max,
    value_and_gradient,
)
from graphc.ir.types import BF16, DTYPES, F8E4M3FN, F8E5M2, F16, F32, DType
from graphc.ir.values import Literal, Operand, Value
from graphc.passes.graph_pass import ModulePass, register
from graphc.passes.numerics import Numerics, precision
from graphc.passes.precision_roles import Fate, Fates, Role, changes_float
from graphc.passes.rewrite import Proposal, Rewriter, full

COMPUTED = (BF16, F16)
"""The narrow dtypes that ops compute with."""

ROUNDED = (F8E4M3FN, F8E5M2)
"""The dtypes of operands of products alone; what follows these is in bfloat16."""


@register
@final
@dataclass(frozen=True)
class Precision(ModulePass):
    """Computes products in a narrow float, sums of products and all else in float32.

    Each node is asked what its op's record says of it:

    * products (dots, convolutions, attention) read narrow operands, accumulate in
      float32, and give float32 where the op can;
    * what is pointwise, moves elements or picks some of them is narrow between two
      products (`mixed`), or wherever a product comes after it;
    * sums, functions that need the range or the accuracy of float32, state and its
      updates stay in float32, each with a refusal in the ledger that says why.

    Parameters and results of graphs keep their dtypes. Before differentiation, the
    gradients of what is narrow become narrow, too. In a graph that is narrow already,
    as a Keras policy leaves it, sums and functions that need it become float32, so that
    nothing is rounded between them.

    With an 8-bit float, operands of dots and convolutions are divided by a scale that
    makes their largest magnitude the largest of the dtype, rounded to it, and multiplied
    as bfloat16, which holds them; the result is multiplied by the scales. That has no
    gradient, so it comes after differentiation. All else is as for ``bf16``.

    Attributes:
        compute: The narrow dtype: ``bf16``, ``f16``, ``f8e4m3fn`` or ``f8e5m2``.
        mixed: Whether only what lies between two products follows them; otherwise
            all that a product depends on does.
        least_reuse: How often a product must use each operand element on average;
            below that, converting operands takes longer than the product saves.
        keep: The names of ops that stay in float32 though they need not.
    """

    compute: str = "bf16"
    mixed: bool = True
    least_reuse: int = 32
    keep: tuple[str, ...] = ()
    name: ClassVar[str] = "precision"
    numerics: ClassVar[Mapping[str, Numerics]] = {
        rule: precision(dtype)
        for dtype in (*COMPUTED, *ROUNDED)
        for rule in (f"compute_in_{dtype}", f"widen_{dtype}")
    }
    rounding: ClassVar[Set[str]] = frozenset(numerics)

    def __post_init__(self) -> None:
        if DTYPES.get(self.compute) not in (*COMPUTED, *ROUNDED):
            names = ", ".join(dtype.name for dtype in (*COMPUTED, *ROUNDED))
            raise PassError(
                f"precision: cannot compute in {self.compute[:40]!r}",
                received=f"compute={self.compute[:40]}",
                hint=f"there is {names}",
            )
        if unknown := sorted(set(self.keep) - set(OPS)):
            raise PassError(
                f"precision: there is no op {unknown[0][:40]!r} to keep",
                received=f"keep=[{','.join(self.keep)[:200]}]",
                hint="`graphc ops` lists the ops",
            )

    def run(self, graph: Graph, rewriter: Rewriter) -> bool:
        made = rewriter.ledger.count
        compute = DTYPES[self.compute]
        if compute in ROUNDED:
            _check_differentiated(graph)
        narrow = BF16 if compute in ROUNDED else compute
        fates = Fates(narrow, self.mixed, self.least_reuse, frozenset(self.keep))
        for reached in _rewritable(graph):
            _Recomputing(reached, rewriter, fates, compute).run()
        return rewriter.ledger.count > made


POLICIES: dict[str, Precision] = {
    "mixed_bfloat16": Precision("bf16"),
    "mixed_float16": Precision("f16"),
    "bfloat16": Precision("bf16", mixed=False),
    "float16": Precision("f16", mixed=False),
}
"""The passes that stand for the names of Keras's policies."""


def policy_text(policy: str) -> str:
    """The pass that a policy stands for, as pipelines spell it; empty for float32.

    Args:
        policy: The name of a policy, such as ``"mixed_bfloat16"``.

    Raises:
        PassError: If there is no such policy.
    """
    if policy == "float32":
        return ""
    if not isinstance(policy, str) or policy not in POLICIES:
        raise PassError(
            "unknown precision",
            received=repr(policy)[:80],
            hint=f"there is {', '.join(['float32', *POLICIES])}",
        )
    return str(POLICIES[policy])


def _rewritable(graph: Graph) -> Iterator[Graph]:
    """The graphs to work on: all but those that combine elements of a reduction."""
    reached = graph.reachable()
    combining = {
        name
        for each in reached
        for node in each.nodes
        if Trait.COMBINES in node.op.traits
        for name in node.op.graph_names(node)
    }
    return (each for each in reached if each.name not in combining)


def _check_differentiated(graph: Graph) -> None:
    for reached in graph.reachable():
        for node in reached.nodes:
            if node.op is value_and_gradient:
                raise PassError(
                    "precision: 8-bit floats come after differentiation",
                    received=f"a gradient of @{node.op.graph_names(node)[0]}",
                    location=node.location,
                    hint='put "train" before it: "train,precision{...},xla"',
                )


class _Recomputing:
    """Recomputes the nodes of one graph in the dtypes that are meant for them.

    Attributes:
        graph: The graph.
        rewriter: Through which it is changed.
        fates: What becomes of each node.
        compute: The dtype of operands of products.
        rule: What the ledger calls a node that is recomputed in the narrow dtype.
        widen: What it calls one that is recomputed in float32.
        converts: The conversions that were added, in order.
        converted: By value and dtype, the value that was converted.
    """

    def __init__(
        self, graph: Graph, rewriter: Rewriter, fates: Fates, compute: DType
    ) -> None:
        self.graph = graph
        self.rewriter = rewriter
        self.fates = fates
        self.compute = compute
        self.rule = f"compute_in_{fates.narrow}"
        self.widen = f"widen_{fates.narrow}"
        self.converts: dict[Node, None] = {}
        self.converted: dict[tuple[Value, DType], Value] = {}

    def run(self) -> None:
        """Recomputes, refuses with a reason, and removes conversions left unread."""
        for node, fate in self.fates.of(self.graph).items():
            self.rewriter.ledger.visits += 1
            self._visit(node, fate)
        for node in reversed(self.converts):
            if node.graph is self.graph and not node.result.uses:
                self.rewriter.erase(node)

    def _visit(self, node: Node, fate: Fate) -> None:
        narrow = self.fates.narrow
        if fate.widens:
            self._recompute(node, F32, range(len(node.operands)), self.widen)
        elif fate.reason is not None:
            self.rewriter.refuse(node, self.rule, fate.reason)
        elif positions := list(self.fates.narrowable(node)):
            if fate.role is Role.PRODUCT and self._rounds(node):
                self.rewriter.rewrite(node, lambda: self._rounded(node))
            else:
                self._recompute(node, narrow, positions, self.rule)
        elif fate.role is Role.PRODUCT and self._only_widened(node):
            self._recompute(node, narrow, (), self.widen)

    def _only_widened(self, node: Node) -> bool:
        """Whether a narrow product could as well give the float32 that all want."""
        if "dtype" not in node.op.attributes or node.result.dtype is F32:
            return False
        users = node.result.users
        return bool(users) and all(self.fates.widens(user) for user in users)

    def _recompute(
        self, node: Node, wanted: DType, positions: Iterable[int], rule: str
    ) -> None:
        """Applies the op again, with float operands of another dtype."""
        chosen = set(positions)

        def attempt() -> Proposal:
            operands = [
                self._as(operand, wanted)
                if position in chosen and operand.type.dtype.is_float
                else operand
                for position, operand in enumerate(node.operands)
            ]
            attributes = dict(node.attributes)
            if wanted is not F32 and "dtype" in node.op.attributes:
                attributes["dtype"] = F32.name  # sums of products stay as they are
            found = as_tuple(node.op(*operands, **attributes))
            return rule, [
                self._as(new, old.dtype)
                for new, old in zip(found, node.results, strict=True)
            ]

        self.rewriter.rewrite(node, attempt)

    def _rounds(self, node: Node) -> bool:
        """Whether operands are rounded with scales: the op must be linear in each."""
        return self.compute in ROUNDED and not node.op.is_composite

    def _rounded(self, node: Node) -> Proposal:
        """A product of operands that are rounded to 8 bits, and their scales."""
        parts = [self._scaled(operand) for operand in node.operands]
        attributes = dict(node.attributes)
        if "dtype" in node.op.attributes:
            attributes["dtype"] = F32.name
        found = node.op(*(value for value, _ in parts), **attributes)
        scale = multiply(*(scale for _, scale in parts))
        result = multiply(self._as(found, F32), full(scale, node.result.type))
        return f"compute_in_{self.compute}", [self._as(result, node.result.dtype)]

    def _scaled(self, operand: Operand) -> tuple[Any, Any]:
        """An operand, rounded, as bfloat16, and the scale to multiply it by."""
        most = float(finfo(self.compute.numpy).max)
        wide = self._as(operand, F32)
        largest = reduce_max(abs_(wide), axes=list(range(operand.type.rank)))
        # An operand of zeros has a scale, too, of which float32 holds the inverse.
        least = float(finfo(F32.numpy).smallest_normal) * most
        scale = divide(maximum(largest, least), most)
        rounded = convert(divide(wide, full(scale, wide.type)), dtype=self.compute)
        return convert(rounded, dtype=BF16), scale

    def _as(self, operand: Operand, wanted: DType) -> Any:
        """`operand` in another dtype, without converting there and back."""
        if operand.type.dtype is wanted:
            return operand
        if isinstance(operand, Literal):
            return Literal(operand.value, wanted)
        node = operand.node
        if node is not None and changes_float(node):
            source = node.operands[0]
            exact = source.type.dtype.bits < operand.dtype.bits
            if source.type.dtype is wanted and (exact or node in self.converts):
                return source
        known = self.converted.get((operand, wanted))
        if known is None or known.graph is None:
            known = convert(operand, dtype=wanted)
            self.converted[operand, wanted] = known
            self.converts[known.node] = None
        return known
