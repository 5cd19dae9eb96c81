"""The public names that Keras has, as recorded, against ours and `docs/keras.md`."""

import re
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

from tests.frontend.recorded import archive, keras, recorded

__all__ = ["archive", "keras", "recorded"]

PAGE = Path(__file__).parents[2] / "docs/keras.md"
MODULES = (
    *("activations", "callbacks", "constraints", "initializers", "layers", "losses"),
    *("metrics", "models", "optimizers", "optimizers.schedules", "regularizers"),
    *("saving", "utils"),
)


def test_the_page_lists_what_keras_has_and_graphc_lacks(
    keras: Any, recorded: Any
) -> None:
    def theirs() -> Any:
        return {
            name: [n for n in dir(import_module(f"keras.{name}")) if n[0] != "_"]
            for name in MODULES
        }

    missing = {
        (module, name)
        for module, names in recorded(theirs).items()
        for name in names
        if name != "legacy" and not hasattr(import_module(f"graphc.{module}"), name)
    }
    rows = re.findall(r"^\| `([\w.]+)` \| (.*?) \|", PAGE.read_text(), re.MULTILINE)
    listed = [
        (module, name) for module, cell in rows for name in re.findall(r"`(\w+)`", cell)
    ]
    assert len(set(listed)) == len(listed)
    assert set(listed) == missing
    untouched = PAGE.read_text().partition("Nothing is missing of")[2].partition(".")[0]
    assert not set(re.findall(r"`([\w.]+)`", untouched)) & {m for m, _ in listed}


@pytest.mark.slow
def test_the_code_on_the_page_runs() -> None:
    names: dict[str, Any] = {}
    for block in re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.M | re.S):
        exec(compile(block, PAGE.name, "exec"), names)
    assert names["x"].shape == (4, 4)
