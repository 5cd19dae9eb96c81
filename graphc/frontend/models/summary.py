"""The table that `model.summary()` prints."""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graphc.frontend.keras_tensor import symbolic_leaves
from graphc.frontend.layers.layer import Layer
from graphc.ir import dtype

if TYPE_CHECKING:
    from graphc.frontend.models.model import Model


def print_summary(
    model: Model,
    line_length: int | None = None,
    print_fn: Callable[[str], None] | None = None,
    expand_nested: bool = False,
    show_trainable: bool = False,
    layer_range: Sequence[str] | None = None,
) -> None:
    """Prints a model's layers, output shapes and numbers of parameters."""
    table = Table(show_lines=True)
    table.add_column("Layer (type)")
    table.add_column("Output Shape")
    table.add_column("Param #", justify="right")
    if show_trainable:
        table.add_column("Trainable", justify="center")
    shapes = output_shapes(model)
    for depth, layer in _in_range(list(_rows(model, expand_nested)), layer_range):
        cells = [
            f"{'  ' * depth}{escape(layer.name)} ({type(layer).__name__})",
            escape(shapes.get(id(layer), "?" if layer.built else "? (unbuilt)")),
            f"{layer.count_params():,}" if layer.built else "0 (unbuilt)",
        ]
        if show_trainable:
            cells.append("Y" if layer.trainable else "N")
        table.add_row(*cells)
    console = Console(width=line_length, highlight=False)
    with console.capture() as captured:
        console.print(f'Model: "{escape(model.name)}"', style="bold")
        console.print(table)
        for line in _totals(model):
            console.print(line)
    text = captured.get()
    if print_fn is not None:
        print_fn(text)
    else:
        print(text, end="")


def output_shapes(model: Model) -> dict[int, str]:
    """The output shape of each layer of a functional or sequential model, as text."""
    shapes: dict[int, str] = {}
    if model._function is None:
        return shapes
    for tensor in model.function.inputs:
        assert tensor.operation is not None
        shapes[id(tensor.operation.function)] = str(tensor.shape)
    for operation in model.function.operations:
        outputs = symbolic_leaves(operation.outputs)
        shown = ", ".join(str(tensor.shape) for tensor in outputs)
        shapes.setdefault(id(operation.function), shown)
        called: Any = operation.function
        if isinstance(getattr(called, "layers", None), list):
            shapes = output_shapes(called) | shapes
    return shapes


def _in_range(
    rows: list[tuple[int, Layer]], layer_range: Sequence[str] | None
) -> list[tuple[int, Layer]]:
    """The rows from the first name that matches to the last one."""
    if layer_range is None:
        return rows
    if len(layer_range) != 2:
        raise ValueError(
            "Expected `layer_range` to be a first and a last layer name, or patterns of"
            f" names. Received: layer_range={layer_range}"
        )
    first, last = (
        [i for i, (_, layer) in enumerate(rows) if re.match(pattern, layer.name)]
        for pattern in layer_range
    )
    if not first or not last:
        raise ValueError(
            "Expected `layer_range` to match layers of the model."
            f" Received: layer_range={list(layer_range)}"
        )
    return rows[min(first[0], last[-1]) : max(first[0], last[-1]) + 1]


def _rows(model: Any, expand_nested: bool, depth: int = 0) -> Any:
    for layer in model.layers:
        yield depth, layer
        if expand_nested and isinstance(getattr(layer, "layers", None), list):
            yield from _rows(layer, expand_nested, depth + 1)


def _totals(model: Layer) -> list[str]:
    def count(weights: list[Any]) -> tuple[int, str]:
        sizes = [math.prod(w.shape) for w in weights]
        size = sum(
            n * dtype(w.dtype).bits / 8 for n, w in zip(sizes, weights, strict=True)
        )
        return sum(sizes), _readable(size)

    rows = [
        ("Total params", model.weights),
        ("Trainable params", model.trainable_weights),
        ("Non-trainable params", model.non_trainable_weights),
    ]
    lines: list[str] = []
    for label, weights in rows:
        number, size = count(weights)
        lines.append(f" {label}: {number:,} ({size})")
    return lines


def _readable(size: float) -> str:
    for unit in ("B", "KB", "MB", "GB"):
        if size < 1024 or unit == "GB":
            return f"{size:.2f} {unit}"
        size /= 1024
    return ""
