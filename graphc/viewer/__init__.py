"""One page that shows a graph, and what passes and kernels make of it."""

from graphc.viewer.document import Document, view
from graphc.viewer.page import page

__all__ = ["Document", "page", "view"]
