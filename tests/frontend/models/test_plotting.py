"""model_to_dot and plot_model: the same nodes and edges as Keras's.

Keras's results are recorded, which needs pydot; see `tests.frontend.recorded`.
"""

import html
import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import graphc
from graphc.frontend.models import plotting
from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

needs_graphviz = pytest.mark.skipif(
    shutil.which("dot") is None, reason="graphviz is not installed"
)


def structure(text: str) -> dict[str, Any]:
    """The texts of the nodes, and the edges and clusters between them.

    The class of Keras's functional models has a name of its own.
    """
    text = text.replace("Functional", "Model")
    found = re.findall(r"^ *(\w+) \[.*?label=<(.*)>[,\]]", text, re.MULTILINE)
    texts = {
        name: " | ".join(html.unescape(cell) for cell in re.findall(">([^<>]+)", label))
        for name, label in found
    }
    edges = re.findall(r"^ *(\w+) -> (\w+)", text, re.MULTILINE)
    return {
        "nodes": sorted(texts.values()),
        "edges": sorted(f"{texts[a]} -> {texts[b]}" for a, b in edges),
        "clusters": sorted(re.findall(r"^ *label=\"?(\w+)\"?;", text, re.MULTILINE)),
    }


def stack(library: Any) -> Any:
    layers = library.layers
    return library.Sequential(
        [
            layers.Input((8,)),
            layers.Dense(8, activation="relu", name="first"),
            layers.BatchNormalization(name="norm"),
            layers.Dense(4, name="last"),
        ],
        name="stack",
    )


def branches(library: Any) -> Any:
    """Two inputs, two outputs, and a layer that is called twice."""
    layers = library.layers
    left, right = layers.Input((8,), name="left"), layers.Input((8,), name="right")
    shared = layers.Dense(4, activation="tanh", name="shared")
    both = layers.Concatenate(name="both")([shared(left), shared(right)])
    frozen = layers.Dense(3, name="frozen", trainable=False)(both)
    return library.Model(
        [left, right], [frozen, layers.Dense(2, name="top")(both)], name="branches"
    )


def nested(library: Any) -> Any:
    """A stack, and a model with a stack, in a model with ops."""
    layers, ops = library.layers, library.ops
    given = layers.Input((4,), name="given")
    deep = library.Sequential([layers.Input((4,)), layers.Dense(4, name="deep")])
    deep.name = "inner"
    made = layers.Dense(4, name="made")(deep(given))
    middle = library.Model(given, layers.Add(name="sum")([made, given]), name="middle")
    x = layers.Input((8,), name="x")
    y = stack(library)(x)
    return library.Model(x, ops.concatenate([middle(y), y + y]), name="outer")


MODELS = {"stack": stack, "branches": branches, "nested": nested}
OPTIONS: dict[str, dict[str, Any]] = {
    "plain": {},
    "all": {
        "show_shapes": True,
        "show_dtype": True,
        "show_layer_activations": True,
        "show_trainable": True,
    },
    "expanded": {"expand_nested": True, "show_shapes": True},
    "classes": {"show_layer_names": False, "rankdir": "LR"},
}


@pytest.mark.parametrize("options", OPTIONS)
@pytest.mark.parametrize("model", MODELS)
def test_nodes_and_edges_are_those_of_keras(
    model: str, options: str, keras: Any, recorded: Any
) -> None:
    def drawn(library: Any) -> dict[str, Any]:
        library.utils.clear_session()
        made = MODELS[model](library)
        dot = library.utils.model_to_dot(made, **OPTIONS[options])
        return structure(dot.to_string())

    found = drawn(graphc)
    assert found["nodes"]
    assert found == recorded(lambda: drawn(keras))


def test_subclassed_models_are_one_node() -> None:
    class Own(graphc.Model):
        def build(self, input_shape: Any) -> None:
            self.built = True

        def call(self, inputs: Any) -> Any:
            return inputs

    model = Own(name="own")
    with pytest.raises(ValueError, match="has not yet been built"):
        graphc.utils.model_to_dot(model)
    model.build((None, 4))
    found = structure(graphc.utils.model_to_dot(model).to_string())
    assert (found["nodes"], found["edges"]) == (["own |  (Own)"], [])


def test_text_is_written_without_graphviz(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plotting.shutil, "which", lambda name: None)
    model = stack(graphc)
    dot = model.plot(tmp_path / "model.dot", show_layer_names=True, dpi=96)
    assert (tmp_path / "model.dot").read_text() == dot.to_string()
    assert 'dpi="96"' in dot.to_string()
    assert dot._repr_svg_() is None
    with pytest.raises(ImportError, match=r"apt-get install graphviz.*ends in \.dot"):
        model.plot(tmp_path / "model.png")
    assert [path.name for path in tmp_path.iterdir()] == ["model.dot"]


def hostile() -> Any:
    layers = graphc.layers
    name = '<br>>]; "quoted" \\ <x> & \x07'
    inner = graphc.Sequential([graphc.Input((2,)), layers.Dense(2, name=name)])
    inner.name = '"; } digraph {'
    x = graphc.Input((2,), name="x")
    return graphc.Model(x, inner(x), name="outer")


def test_names_stay_names() -> None:
    found = graphc.utils.model_to_dot(hostile(), expand_nested=True)
    (cluster,) = found.clusters
    (label,) = cluster.nodes.values()
    assert "&lt;br&gt;&gt;]; &quot;quoted&quot; \\ &lt;x&gt; &amp; \ufffd" in label
    assert r'label="\"; } digraph {";' in found.to_string()


@needs_graphviz
@pytest.mark.parametrize(
    ("ending", "start"), [("png", b"\x89PNG"), ("svg", b"<?xml"), ("pdf", b"%PDF")]
)
def test_graphviz_draws(ending: str, start: bytes, tmp_path: Path) -> None:
    path = tmp_path / f"model.{ending}"
    dot = graphc.utils.plot_model(hostile(), path, expand_nested=True, dpi=50)
    assert path.read_bytes().startswith(start)
    assert "<svg" in (dot._repr_svg_() or "")


@needs_graphviz
def test_unknown_formats_are_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="nonsense"):
        stack(graphc).plot(tmp_path / "model.nonsense")
    assert not list(tmp_path.iterdir())
