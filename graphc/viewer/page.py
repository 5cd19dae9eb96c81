"""A document as one HTML page that needs nothing besides."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from importlib.resources import files
from typing import Any

from graphc.viewer.document import Document

SCRIPTS = ("layout.js", "hierarchy.js", "graph.js", "page.js")
"""The parts of the script, in order."""

_UNSAFE = re.compile("[<>&]")


def page(document: Document) -> str:
    """The page: style, script and data in one text.

    The data are JSON in which no character ends a script. The page allows itself that
    one script and that one style, by their hashes, and no connection to anywhere.
    """
    script, style = "".join(map(_asset, SCRIPTS)), _asset("page.css")
    parts = {
        "title": html.escape(_printable(document.title)),
        "script_hash": _hash(script),
        "style_hash": _hash(style),
        "style": style,
        "script": script,
        "data": embedded(document.data),
    }
    # One pass over the template: what is put in is not looked at again.
    return re.sub(r"\{\{(\w+)\}\}", lambda m: parts[m[1]], _asset("page.html"))


def embedded(data: Any) -> str:
    """JSON that may stand in a ``script`` element whatever its texts are."""
    text = json.dumps(data, separators=(",", ":"), allow_nan=False)
    return _UNSAFE.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def _printable(text: str) -> str:
    """Text without the characters that a document cannot hold or show."""
    return "".join(c if c.isprintable() else "\ufffd" for c in text)


def _asset(name: str) -> str:
    return files("graphc.viewer").joinpath("assets", name).read_text(encoding="utf-8")


def _hash(text: str) -> str:
    """The source expression that a content security policy allows a text by."""
    digest = hashlib.sha256(text.encode()).digest()
    return f"'sha256-{base64.b64encode(digest).decode()}'"
