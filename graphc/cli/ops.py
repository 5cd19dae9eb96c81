"""``graphc ops``: what each op has, from its record and the code generators."""

from __future__ import annotations

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import click

from graphc.cli.text import printable
from graphc.codegen.spellings import SPELLINGS
from graphc.codegen.stablehlo.module import LOWERINGS
from graphc.codegen.triton.forms import triton_form
from graphc.ir import Arg, Graph, GraphError, OpDef, Sample, building
from graphc.ir.opdef import REQUIRED, Attribute, describe_dtypes
from graphc.ir.ops import OPS
from graphc.ir.types import DTYPES, DType, TensorType
from graphc.testing.op_samples import sample_graph, sample_symbols, sample_types

NONE = "-"
"""What the table says where an op lacks something."""

HEADER = (
    *("op", "kind", "reference", "StableHLO", "Triton"),
    *("samples", "dtype cases", "gradients", "ill-typed", "vjp", "dtypes"),
)


@dataclass(frozen=True, slots=True)
class Row:
    """What one op has.

    Attributes:
        op: The op.
        reference: ``numpy``, or ``body`` for a composite that is defined by it alone.
        stablehlo: ``spelling``, ``lowering``, or ``decomposes`` for a composite.
        triton: How Triton kernels compute it, or ``none`` with the reason; see
            `graphc.codegen.triton.forms`.
        vjp: ``rule``, ``body``, or ``none`` with the reason.
        samples: How many samples it has, each of which several tests use.
        dtype_cases: How many uses the samples make in other dtypes than their own.
        gradients: How many derivatives of samples are compared with differences.
        ill_typed: How many calls must give an error.
    """

    op: OpDef
    reference: str
    stablehlo: str
    triton: str
    vjp: str
    samples: int
    dtype_cases: int
    gradients: int
    ill_typed: int

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text, in the order of `HEADER`."""
        counts = (self.samples, self.dtype_cases, self.gradients, self.ill_typed)
        dtypes = dict.fromkeys(map(describe_dtypes, self.op.dtypes))
        return (
            *(self.op.name, self.op.kind.value, self.reference),
            *(self.stablehlo, self.triton.partition(":")[0], *map(str, counts)),
            *(self.vjp, "; ".join(dtypes) if self.op.operands else NONE),
        )


@click.command()
@click.argument("name", required=False)
def ops(name: str | None) -> None:
    """List every op with what it has, and totals; or describe the op NAME."""
    if name is None:
        click.echo(op_table())
    elif name in OPS:
        click.echo(describe_op(OPS[name]))
    else:
        near = difflib.get_close_matches(name, OPS, n=1)
        hint = f"did you mean {near[0]}?" if near else "`graphc ops` lists them"
        raise click.UsageError(f"there is no op {printable(name)}; {hint}")


def describe_op(op: OpDef) -> str:
    """What the record of an op says: its meaning, its facts and an example."""
    row = _row(op)
    dtypes = map(describe_dtypes, op.dtypes)
    facts = {
        "kind": op.kind.value,
        "traits": ", ".join(sorted(trait.value for trait in op.traits)),
        "dtypes": "; ".join(dict.fromkeys(dtypes)) if op.operands else "",
        "numerics": op.numerics,
        "reference": row.reference,
        "gradient": row.vjp,
        "StableHLO": row.stablehlo,
        "Triton": row.triton,
    }
    lines = [_signature(op), "", *op.doc.splitlines(), ""]
    lines += [f"{title:11}{fact}" for title, fact in facts.items() if fact]
    if op.samples:
        lines += ["", str(sample_graph(op, op.samples[0])).rstrip()]
    return "\n".join(lines)


def _signature(op: OpDef) -> str:
    """The op with its operands and attributes, those that may be left out in brackets."""
    operands = [
        name if position < op.minimum else f"[{name}]"
        for position, name in enumerate(op.operands)
    ]
    if op.variadic:
        operands[-1] = f"*{op.operands[-1]}"
    attributes = ", ".join(f"{n}: {_declared(a)}" for n, a in op.attributes.items())
    return f"{op.name}({', '.join(operands)})" + f" {{{attributes}}}" * bool(attributes)


def _declared(attribute: Attribute) -> str:
    held = attribute.kind.value
    return held if attribute.default is REQUIRED else f"{held} = {attribute.default}"


def op_table() -> str:
    """A line for each op, then a line for each total."""
    rows = op_rows()
    cells = [HEADER, *(row.cells for row in rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "  ".join(f"{c:{w}}" for c, w in zip(line, widths, strict=True)).rstrip()
        for line in cells
    ]
    return "\n".join([*lines, "", *totals(rows)])


def op_rows() -> list[Row]:
    """What each op has, by name."""
    return [_row(op) for _, op in sorted(OPS.items())]


def totals(rows: list[Row]) -> Iterator[str]:
    """For each column how many ops have it, and of what sort."""
    composites = sum(row.op.is_composite for row in rows)
    yield f"{len(rows)} ops: {len(rows) - composites} primitives, {composites} composites"
    for name in ("reference", "vjp", "stablehlo", "triton"):
        sorts = [getattr(row, name).partition(":")[0] for row in rows]
        title = {
            "vjp": "vjp or reason",
            "stablehlo": "StableHLO",
            "triton": "Triton or reason",
        }
        yield _total(title.get(name, name), sorts)
    tested = [row.samples > 0 and row.ill_typed > 0 for row in rows]
    counts = [
        f"{sum(getattr(row, name) for row in rows)} {title}"
        for name, title in (
            ("samples", "samples"),
            ("dtype_cases", "cases in other dtypes"),
            ("gradients", "derivatives"),
            ("ill_typed", "ill-typed calls"),
        )
    ]
    yield _share("tests", sum(tested), len(rows)) + f" ({', '.join(counts)})"


def _total(title: str, sorts: list[str]) -> str:
    kinds = sorted({sort for sort in sorts if sort != NONE})
    had = sum(sort != NONE for sort in sorts)
    listed = ", ".join(f"{sorts.count(kind)} {kind}" for kind in kinds)
    return _share(title, had, len(sorts)) + (f" ({listed})" if listed else "")


def _share(title: str, count: int, of: int) -> str:
    return f"{title:13}  {count} of {of}, {100 * count / of:.1f} %"


def _row(op: OpDef) -> Row:
    vjp = "rule" if op.vjp or op.pullback else "body"
    if isinstance(op.vjp, str):
        vjp = f"none: {op.vjp}"
    stablehlo = "decomposes" if op.is_composite else NONE
    for sort, table in (("spelling", SPELLINGS), ("lowering", LOWERINGS)):
        if op.name in table:
            stablehlo = sort
    return Row(
        op,
        reference="numpy" if op.reference else "body" if op.body else NONE,
        stablehlo=stablehlo,
        triton=triton_form(op) or NONE,
        vjp=vjp,
        samples=len(op.samples),
        dtype_cases=sum(_accepted(op, sample) for sample in op.samples),
        gradients=0 if isinstance(op.vjp, str) else _gradients(op),
        ill_typed=len(op.errors),
    )


def _gradients(op: OpDef) -> int:
    """A first and a second derivative for each smooth sample with floats."""
    smooth = [sample for sample in op.samples if sample.smooth]
    return 2 * sum(any(t.dtype.is_float for t in sample_types(s)) for s in smooth)


def _accepted(op: OpDef, sample: Sample) -> int:
    """In how many other dtypes the op takes the sample."""
    if op.calls_graphs:  # the graph says which dtypes it takes
        return 0
    found = 0
    for old in {type.dtype for type in sample_types(sample)}:
        found += sum(_takes(op, sample, old, new) for new in DTYPES.values())
    return found


def _takes(op: OpDef, sample: Sample, old: DType, new: DType) -> bool:
    graph = Graph("sample")
    graph.ranges = dict.fromkeys(sample_symbols(sample), (1, 64))
    types = iter(sample_types(sample))
    operands = [
        graph.add_parameter(_with(next(types), old, new))
        if isinstance(operand, (str, Arg))
        else operand
        for operand in sample.operands
    ]
    try:
        with building(graph):
            op(*operands, **sample.attributes)
    except GraphError:
        return False
    return old is not new


def _with(type: TensorType, old: DType, new: DType) -> TensorType:
    return type.with_dtype(new) if type.dtype is old else type
