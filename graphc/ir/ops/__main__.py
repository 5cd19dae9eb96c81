"""``python -m graphc.ir.ops`` prints a table of all ops."""

from graphc.ir.ops import OPS


def main() -> None:
    """Prints one line per op: its kind and what its record holds."""
    rows = [("op", "kind", "reference", "vjp", "samples")]
    for name, op in sorted(OPS.items()):
        reference = "numpy" if op.reference else "body"
        rule = "rule" if op.vjp or op.pullback else "body"
        vjp = op.vjp if isinstance(op.vjp, str) else rule
        rows.append((name, op.kind.value, reference, vjp, str(len(op.samples))))
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (f"{cell:{width}}" for cell, width in zip(row, widths, strict=True))
        print("  ".join(cells).rstrip())


if __name__ == "__main__":
    main()
