"""Drawing models with graphviz, as Keras's ``model_to_dot`` and ``plot_model``."""

from __future__ import annotations

import html
import os
import shutil
import subprocess
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from graphc.files.atomic_file import write_file
from graphc.frontend import trees
from graphc.frontend.keras_tensor import KerasTensor, Operation
from graphc.frontend.layers.layer import Layer

if TYPE_CHECKING:
    from graphc.frontend.models.model import Model

TEXT_FORMATS = ("dot", "gv")
"""Endings of files that hold the text itself; others need graphviz."""


@dataclass(repr=False)
class Dot:
    """A graph in graphviz's language.

    Attributes:
        name: The name of what is drawn.
        attributes: The graph's attributes; values are quoted when printed.
        nodes: The labels of the nodes by name, in graphviz's HTML.
        edges: The names of two nodes each, without repetitions.
        clusters: The graphs inside, such as those of nested models.
    """

    name: str
    attributes: dict[str, str]
    nodes: dict[str, str] = field(default_factory=dict[str, str])
    edges: dict[tuple[str, str], None] = field(
        default_factory=dict[tuple[str, str], None]
    )
    clusters: list[Dot] = field(default_factory=list["Dot"])

    def to_string(self) -> str:
        """The text, which ``dot`` reads."""
        return "\n".join(["digraph {", *self._lines("  "), "}", ""])

    def _lines(self, indent: str) -> list[str]:
        lines = [f"{k}={_quoted(v)};" for k, v in self.attributes.items()]
        for number, cluster in enumerate(self.clusters):
            # Clusters inside clusters need names of their own.
            name = _quoted(f"cluster_{len(indent)}_{number}_{cluster.name}")
            inside = cluster._lines(indent + "  ")
            lines += [f"subgraph {name} {{", *inside, "}"]
        lines += [
            f"{name} [shape=plain, fontname=Helvetica, label=<{label}>];"
            for name, label in self.nodes.items()
        ]
        lines += [f"{source} -> {end} [penwidth=2];" for source, end in self.edges]
        return [indent + line for line in lines]

    def create(self, format: str = "png") -> bytes:
        """The picture in a format that graphviz knows, such as ``png`` or ``svg``.

        Raises:
            ImportError: If graphviz is not installed.
            ValueError: If graphviz fails, as it does for an unknown format.
        """
        text = self.to_string().encode()
        if format in TEXT_FORMATS:
            return text
        program = shutil.which("dot")
        if program is None:
            raise ImportError(
                f"A picture in the format {format!r} needs graphviz, whose program `dot`"
                " was not found. Install it (`apt-get install graphviz`, `brew install"
                " graphviz`, or https://graphviz.org/download), or write the text: a"
                " file whose name ends in .dot"
            )
        made = subprocess.run(
            [program, f"-T{format}"], input=text, capture_output=True, check=False
        )
        if made.returncode:
            said = made.stderr.decode(errors="replace").strip()[:300]
            raise ValueError(f"graphviz could not draw {self.name!r}: {said}")
        return made.stdout

    def write(self, path: str | os.PathLike[str], format: str | None = None) -> None:
        """Writes the picture to a file; its ending says the format unless given."""
        name = os.fsdecode(path)
        chosen = format or os.path.splitext(name)[1].removeprefix(".") or "png"
        write_file(name, [self.create(chosen)])

    def _repr_svg_(self) -> str | None:
        """What notebooks show; None, for the text below, without graphviz."""
        return self.create("svg").decode() if shutil.which("dot") else None

    def __repr__(self) -> str:
        return f"<Dot {self.name}: {len(self.nodes)} nodes, {len(self.edges)} edges>"


def model_to_dot(
    model: Model,
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = True,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    subgraph: bool = False,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> Dot:
    """A model as a graph of its layers.

    Args:
        model: The model. One without recorded layers, as subclassing makes, is one node.
        show_shapes: Whether to show the shapes of inputs and outputs.
        show_dtype: Whether to show the dtypes of outputs.
        show_layer_names: Whether to show names besides classes.
        rankdir: ``"TB"`` from top to bottom, ``"LR"`` from left to right.
        expand_nested: Whether to show the layers of models in the model.
        dpi: The resolution of pictures made of pixels.
        subgraph: Whether to return a cluster, as of a model inside a model.
        show_layer_activations: Whether to show activations.
        show_trainable: Whether to show which layers are trained.
        splines: How edges are drawn, such as ``"ortho"`` or ``"curved"``.

    Raises:
        ValueError: If the model has not been built.

    Example:
        >>> import graphc
        >>> parts = [graphc.Input((4,)), graphc.layers.Dense(2)]
        >>> graphc.utils.model_to_dot(graphc.Sequential(parts, name="m"))
        <Dot m: 1 nodes, 0 edges>
    """
    if not model.built:
        raise ValueError(
            "This model has not yet been built. Build the model first by calling"
            " `build()` or by calling the model on a batch of data."
        )
    labels = _Labels(
        show_layer_names,
        show_layer_activations,
        show_dtype,
        show_shapes,
        show_trainable,
    )
    drawn = _Drawing(labels, expand_nested).draw(model)
    whole = {"rankdir": rankdir, "concentrate": "true", "dpi": str(dpi)}
    drawn.attributes = _frame(model) if subgraph else whole | {"splines": splines}
    return drawn


def plot_model(
    model: Model,
    to_file: str | os.PathLike[str] = "model.png",
    show_shapes: bool = False,
    show_dtype: bool = False,
    show_layer_names: bool = False,
    rankdir: str = "TB",
    expand_nested: bool = False,
    dpi: int = 200,
    show_layer_activations: bool = False,
    show_trainable: bool = False,
    splines: str = "ortho",
) -> Dot:
    """Draws a model to a file; a file that ends in ``.dot`` needs no graphviz.

    Args:
        model: The model.
        to_file: The file's name; its ending is the format.
        show_shapes: As for `model_to_dot`, and so are the others.
        show_dtype: Whether to show the dtypes of outputs.
        show_layer_names: Whether to show names besides classes.
        rankdir: The direction.
        expand_nested: Whether to show the layers of models in the model.
        dpi: The resolution.
        show_layer_activations: Whether to show activations.
        show_trainable: Whether to show which layers are trained.
        splines: How edges are drawn.

    Returns:
        The graph, which notebooks show.

    Raises:
        ValueError: If the model has not been built.
        ImportError: If graphviz is needed and not installed.
    """
    dot = model_to_dot(
        model,
        show_shapes=show_shapes,
        show_dtype=show_dtype,
        show_layer_names=show_layer_names,
        rankdir=rankdir,
        expand_nested=expand_nested,
        dpi=dpi,
        show_layer_activations=show_layer_activations,
        show_trainable=show_trainable,
        splines=splines,
    )
    dot.write(to_file)
    return dot


class _Drawing:
    """Draws models; a layer is one node however often it is called."""

    def __init__(self, labels: _Labels, expand_nested: bool) -> None:
        self._labels = labels
        self._expand_nested = expand_nested
        self._names: dict[int, str] = {}

    def draw(self, model: Any) -> Dot:
        """The graph of a model, with clusters for the models in it."""
        dot = Dot(model.name, {})
        function = model._function
        if function is None:
            dot.nodes[self._name(model)] = self._labels.of_layer(model)
            return dot
        sources = [t.operation for t in function.inputs]
        operations = [*_shown(sources, model), *function.operations]
        for operation in {id(_drawn(o)): o for o in operations}.values():
            if self._is_expanded(operation.function):
                inside = self.draw(operation.function)
                inside.attributes = _frame(operation.function)
                dot.clusters.append(inside)
            else:
                dot.nodes[self._name(_drawn(operation))] = self._labels.of(operation)
        hidden = {id(o) for o in sources} - {id(o) for o in _shown(sources, model)}
        for operation in function.operations:
            for place, tensor in enumerate(operation.inputs):
                if id(tensor.operation) not in hidden:
                    end = self._end(operation, place)
                    dot.edges[self._start(tensor), end] = None
        return dot

    def _name(self, of: object) -> str:
        return self._names.setdefault(id(of), f"n{len(self._names)}")

    def _is_expanded(self, function: Any) -> bool:
        nested = getattr(function, "_function", None)
        return self._expand_nested and nested is not None

    def _start(self, tensor: KerasTensor) -> str:
        """The node that makes a tensor, in the innermost model."""
        operation = tensor.operation
        assert operation is not None
        called: Any = operation.function
        if self._is_expanded(called):
            return self._start(called._function.outputs[tensor.index])
        return self._name(_drawn(operation))

    def _end(self, operation: Operation, place: int) -> str:
        """The node that reads input `place` of an operation, in the innermost model."""
        called: Any = operation.function
        if not self._is_expanded(called):
            return self._name(_drawn(operation))
        source = called._function.inputs[place].operation
        if _shown([source], called):
            return self._name(_drawn(source))
        reader = next(o for o in called._function.operations if source in _read(o))
        return self._end(reader, [t.operation for t in reader.inputs].index(source))


def _drawn(operation: Operation) -> object:
    """What a node stands for: a layer, or one call of a function."""
    called = operation.function
    return called if isinstance(called, Layer) else operation


def _shown(sources: list[Any], model: Any) -> list[Operation]:
    """The inputs that are layers of the model; those of a Sequential are not."""
    layers = {id(layer) for layer in model.layers}
    return [source for source in sources if id(source.function) in layers]


def _read(operation: Operation) -> list[Operation | None]:
    return [tensor.operation for tensor in operation.inputs]


def _frame(model: Any) -> dict[str, str]:
    """The attributes of the cluster of a nested model."""
    return {"style": "dashed", "label": _text(model.name), "labeljust": "l"}


@dataclass(frozen=True)
class _Labels:
    """Makes labels: tables in graphviz's HTML, laid out as Keras does."""

    names: bool
    activations: bool
    dtypes: bool
    shapes: bool
    trainable: bool

    def of(self, operation: Operation) -> str:
        """The label of a recorded call."""
        called = operation.function
        if isinstance(called, Layer):
            return self.of_layer(called)
        words = getattr(called, "__name__", type(called).__name__).split("_")
        kind = "".join(word[:1].upper() + word[1:] for word in words)
        inputs = operation.inputs
        cells = self._cells(
            inputs[0] if len(inputs) == 1 else inputs, operation.outputs
        )
        return self._table(operation.name, kind, None, cells)

    def of_layer(self, layer: Layer) -> str:
        """The label of a layer."""
        given, made = _ends(layer)
        kind = type(layer).__name__
        cells = self._cells(given, made, has_input=kind != "InputLayer")
        if self.trainable and layer.weights:
            word, colour = ("Trainable", "forestgreen")
            if not layer.trainable:
                word, colour = ("Non-trainable", "firebrick")
            cells.append(_cell(f"<b>{word}</b>", colour, ' color="white"'))
        activation = getattr(layer, "activation", None)
        name = getattr(activation, "name", getattr(activation, "__name__", activation))
        return self._table(layer.name, kind, name, cells)

    def _cells(self, given: Any, made: Any, has_input: bool = True) -> list[str]:
        """The cells about inputs and outputs."""
        cells: list[str] = []
        if self.shapes:
            if has_input:
                cells.append(_cell(f"Input shape: <b>{_each(given, 'shape')}</b>"))
            cells.append(_cell(f"Output shape: <b>{_each(made, 'shape')}</b>"))
        if self.dtypes:
            cells.append(_cell(f"Output dtype: <b>{_each(made, 'dtype')}</b>"))
        return cells

    def _table(self, name: str, kind: str, activation: Any, cells: list[str]) -> str:
        span = f'colspan="{max(1, len(cells))}"'
        title = f"<b>{_escaped(name)}</b> ({_escaped(kind)})"
        if not self.names:
            title = f"<b>{_escaped(kind)}</b>"
        rows = [
            f'<tr><td {span} bgcolor="black">'
            f'<font point-size="16" color="white">{title}</font></td></tr>'
        ]
        if self.activations and activation is not None:
            rows.append(
                f'<tr><td bgcolor="white" {span}><font point-size="14">'
                f"Activation: <b>{_escaped(activation)}</b></font></td></tr>"
            )
        if cells:
            rows.append(f"<tr>{''.join(cells)}</tr>")
        style = 'border="0" cellborder="1" bgcolor="black" cellpadding="10"'
        return f"<table {style}>{''.join(rows)}</table>"


def _ends(layer: Any) -> tuple[Any, Any]:
    """The inputs and outputs of a layer: of its first call, or as a model has them."""
    if getattr(layer, "_function", None) is not None:
        return layer.input, layer.output
    if not layer._operations:
        return None, None
    first = layer._operations[0]
    inputs = first.inputs
    return inputs[0] if len(inputs) == 1 else inputs, first.outputs


def _cell(content: str, colour: str = "white", font: str = "") -> str:
    return f'<td bgcolor="{colour}"><font point-size="14"{font}>{content}</font></td>'


def _each(tensors: Any, attribute: str) -> str:
    """An attribute of each tensor of a structure, as Keras spells it."""
    if tensors is None:
        return "?"
    found = trees.map_leaves(lambda tensor: getattr(tensor, attribute, "?"), tensors)
    if isinstance(found, dict):
        found = ", ".join(f"{key}: {value}" for key, value in found.items())
    return _escaped(str(found).replace("{", "").replace("}", ""))


def _text(text: object) -> str:
    """Text without characters that documents of XML cannot hold."""
    return "".join(c if c.isprintable() else "\ufffd" for c in str(text))


def _escaped(text: object) -> str:
    return html.escape(_text(text))


def _quoted(text: str) -> str:
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
