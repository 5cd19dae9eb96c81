"""The table that `model.summary()` prints."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from graphc.frontend import trees
from graphc.frontend.keras_tensor import KerasTensor
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
) -> None:
    """Prints a model's layers, output shapes and numbers of parameters."""
    table = Table(show_lines=True)
    table.add_column("Layer (type)")
    table.add_column("Output Shape")
    table.add_column("Param #", justify="right")
    if show_trainable:
        table.add_column("Trainable", justify="center")
    shapes = output_shapes(model)
    for depth, layer in _rows(model, expand_nested):
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
    tensors = [*model.function.inputs]
    for operation in model.function.operations:
        tensors += [
            t for t in trees.leaves(operation.outputs) if isinstance(t, KerasTensor)
        ]
    for tensor in tensors:
        assert tensor.operation is not None
        shapes.setdefault(id(tensor.operation.function), str(tensor.shape))
    return shapes


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
