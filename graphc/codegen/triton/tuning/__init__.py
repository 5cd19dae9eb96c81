"""Schedules that a GPU measured, and the kernels that use them."""

from graphc.codegen.triton.tuning.candidates import candidates
from graphc.codegen.triton.tuning.kernels import emit_tuned_kernels, scheduled_kernel
from graphc.codegen.triton.tuning.table import (
    Entry,
    Table,
    load_table,
    read_table,
    signature_of,
    table_path,
)

__all__ = [
    "Entry",
    "Table",
    "candidates",
    "emit_tuned_kernels",
    "load_table",
    "read_table",
    "scheduled_kernel",
    "signature_of",
    "table_path",
]
