"""``python -m graphc.ir.ops`` prints a table of all ops, as ``graphc ops`` does."""

from graphc.cli.ops import op_table

if __name__ == "__main__":
    print(op_table())
