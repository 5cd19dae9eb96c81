"""A model whose class is not there: it runs graphs from a file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from graphc.frontend import dtype_policies
from graphc.frontend.layers.graph_layer import GraphCalls
from graphc.frontend.models.model import Model
from graphc.ir import Graph


class GraphModel(GraphCalls, Model):
    """A subclassed model without its class: it can be run, trained and saved.

    Args:
        entry: What the file says about the model.
        graphs: The graphs of the file by name.
    """

    def __init__(self, entry: dict[str, Any], graphs: Mapping[str, Graph]) -> None:
        saved = entry["graph"]
        Model.__init__(
            self,
            name=saved["name"],
            trainable=bool(saved["trainable"]),
            dtype=dtype_policies.get(saved["dtype"]),
        )
        self.restore(entry, graphs)

    def consists_of_layers(self) -> bool:
        """No: the layers of the original model are part of the graphs."""
        return False
