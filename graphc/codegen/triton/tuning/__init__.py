"""Schedules that a GPU measured, and the kernels that use them."""

from graphc.codegen.triton.tuning.candidates import candidates, lighter
from graphc.codegen.triton.tuning.choices import kernel_key, kernel_shape, schedules
from graphc.codegen.triton.tuning.kernels import (
    COST_MODEL,
    LOCK,
    ChosenKernel,
    choose_kernels,
    emit_tuned_kernels,
    scheduled_kernel,
)
from graphc.codegen.triton.tuning.table import (
    Entry,
    Table,
    load_table,
    read_table,
    signature_of,
    table_path,
)

__all__ = [
    "COST_MODEL",
    "LOCK",
    "ChosenKernel",
    "Entry",
    "Table",
    "candidates",
    "choose_kernels",
    "emit_tuned_kernels",
    "kernel_key",
    "kernel_shape",
    "lighter",
    "load_table",
    "read_table",
    "scheduled_kernel",
    "schedules",
    "signature_of",
    "table_path",
]
