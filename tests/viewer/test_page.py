"""A page is one file that nothing in a graph can break out of."""

import base64
import hashlib
import json
import re
from html.parser import HTMLParser

import pytest

from graphc.ir import parse
from graphc.viewer import page, view
from graphc.viewer.page import embedded

HOSTILE = (
    "</script><script>alert(1)</script>",
    "<!-- <script>",
    "a]]>&amp;{{script}}",
    "\x00\x1b[31m\x7f\u2028\u202e",
    "\ud800",
)


class Reader(HTMLParser):
    """Collects the elements of a page, and the texts of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.texts: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        if self.elements and self.elements[-1][0] in ("script", "style", "title"):
            self.texts.append(data)


def read(text: str) -> Reader:
    reader = Reader()
    reader.feed(text)
    return reader


def hostile_page(path: str) -> tuple[str, dict[str, object]]:
    graph = parse(
        """
        graph @f(%x: f32[4]) -> (f32[4]) {
          %y = tanh(%x) : f32[4]  loc("PATH" model.py:1:1)
          return %y
        }""".replace("PATH", json.dumps(path)[1:-1])
    )
    document = view(graph, "dce", title=path)
    assert path in document.data["tables"]["paths"]
    return page(document), document.data


@pytest.mark.parametrize("path", HOSTILE, ids=ascii)
def test_texts_stay_texts(path: str) -> None:
    text, data = hostile_page(path)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f\u2028\u202e]", text)
    assert text.encode()
    reader = read(text)
    tags = [tag for tag, _ in reader.elements]
    assert tags.count("script") == text.lower().count("</script") == 2
    found = re.search(r'id="data">([^<]*)</script>', text)
    assert found
    assert json.loads(found[1]) == json.loads(json.dumps(data))


def test_every_text_survives() -> None:
    every = "".join(map(chr, range(0x300)))
    made = embedded({"all": every})
    assert json.loads(made) == {"all": every}
    assert not set("<>&") & set(made)
    assert made.isascii()


def test_nothing_is_loaded_and_only_the_own_script_runs() -> None:
    text, _ = hostile_page("layer")
    reader = read(text)
    for tag, attributes in reader.elements:
        assert tag not in ("link", "img", "iframe", "object", "base", "form")
        assert not {"src", "href", "srcset", "onload", "style"} & attributes.keys()
    (policy,) = (
        attributes["content"] or ""
        for _, attributes in reader.elements
        if attributes.get("http-equiv") == "Content-Security-Policy"
    )
    assert policy.startswith("default-src 'none'")
    script = text[text.rindex("<script>") + 8 : text.rindex("</script>")]
    style = text[text.index("<style>") + 7 : text.index("</style>")]
    for part, source in (("script-src", script), ("style-src", style)):
        digest = base64.b64encode(hashlib.sha256(source.encode()).digest()).decode()
        assert f"{part} 'sha256-{digest}'" in policy
    # A namespace is a name; nothing else looks like an address.
    assert set(re.findall(r"\w+://[^\s\"']+", script + style)) == {
        "http://www.w3.org/2000/svg"
    }
    for way_to_parse_html in ("innerHTML", "outerHTML", "insertAdjacent", "eval("):
        assert way_to_parse_html not in script
