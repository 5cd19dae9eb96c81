"""Printing values while graphs run."""

from __future__ import annotations

import string
from typing import Any

from graphc.frontend.dispatch import op
from graphc.frontend.ops.operands import TensorLike, read, refuse
from graphc.frontend.progress import print_line
from graphc.frontend.tracing import tensor
from graphc.ir import ops as ir_ops
from graphc.ir.body import as_tuple
from graphc.ir.ops.effects import write_lines_with

__all__ = ["print"]

# Lines go where progress bars are, which are drawn again below them.
write_lines_with(print_line)


@op
def print(*values: TensorLike, **named: TensorLike) -> Any:
    """Prints the values of tensors whenever the compiled step runs.

    Python's own `print` prints once, while the step is traced, and shows no values.

    In a function or layer the line is printed even if nothing uses what `print`
    returns. In a functional model, which consists of what its outputs are computed
    from, use the result in the place of the tensor.

    Args:
        *values: Optionally a format string, as of `str.format`, then tensors. Tensors
            that the string has no field for come behind it.
        **named: Tensors for the named fields of the string.

    Returns:
        The tensor, or the tuple of all tensors; None if there are none.

    Raises:
        GraphError: If the format string is not well formed or has other fields.
        UnsupportedError: When compiled for a target that cannot call the host.

    Example:
        >>> import graphc
        >>> import numpy as np
        >>> @graphc.jit
        ... def step(x):
        ...     peak = graphc.ops.max(x)
        ...     graphc.ops.print("x = {}, largest {peak:.2f}", x, peak=peak)
        ...     return x * 2
        >>> _ = step(np.float32([1, 3]))
        x = [1. 3.], largest 3.00
    """
    given, format = list(values), ""
    if given and isinstance(given[0], str):
        format = given.pop(0)
    tensors = [read(x) for x in (*given, *named.values())]
    numbered = _numbered(format, len(given), list(named))
    results = as_tuple(ir_ops.print_(*(tensors or [False]), format=numbered))
    if not tensors:
        return None
    wrapped = tuple(map(tensor, results))
    return wrapped[0] if len(wrapped) == 1 else wrapped


def _numbered(format: str, count: int, names: list[str]) -> str:
    """The format with a number in each field, and fields for tensors that had none."""
    try:
        parts = list(string.Formatter().parse(format))
    except ValueError as error:
        refuse(f"The format is not well formed: {error}", received=repr(format))
    text, used, automatic = "", set[int](), 0
    for literal, field, spec, _ in parts:
        text += literal.replace("{", "{{").replace("}", "}}")
        if field is None:
            continue
        if not field:
            number, automatic = automatic, automatic + 1
        elif field in names:
            number = count + names.index(field)
        elif field.isdecimal():
            number = int(field)
        else:
            refuse(
                f"The field {{{field}}} is none of the tensors",
                received=", ".join(names) or "no named tensors",
            )
        used.add(number)
        text += f"{{{number}:{spec}}}" if spec else f"{{{number}}}"
    behind = [f"{{{number}}}" for number in range(count) if number not in used]
    return " ".join([*([text] if text else []), *behind])
