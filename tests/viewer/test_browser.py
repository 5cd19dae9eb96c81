"""Pages in a real browser: nothing fails, groups open and close, search finds."""

import base64
import hashlib
import html
import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from graphc.ir import parse
from graphc.passes import run
from graphc.viewer import page, view

BROWSERS = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
BROWSER = next(filter(None, map(shutil.which, BROWSERS)), None)
GRAPHS = Path(__file__).parents[2] / "benchmarks" / "graphs"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(BROWSER is None, reason="there is no Chromium"),
]

DRIVER = """
const report = { errors: [] };
addEventListener("error", (event) => report.errors.push(event.message));
addEventListener("unhandledrejection", (event) => report.errors.push(String(event.reason)));
const items = () => document.querySelectorAll("g.item").length;
const pause = (ms) => new Promise((done) => setTimeout(done, ms));
const enter = async (text) => {
  document.getElementById("search").value = text;
  document.getElementById("search").dispatchEvent(new Event("input"));
  await pause(300);
};
(async () => {
  report.title = document.getElementById("title").textContent;
  report.first = items();
  graphTab.drawing.closeAll();
  report.closed = items();
  const group = document.querySelector("g.item.group");
  group.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  report.opened = items();
  const sign = document.querySelector("g.item.open .sign");
  sign.dispatchEvent(new MouseEvent("click", { bubbles: true }));
  report.closedAgain = items();
  graphTab.drawing.openUpTo(MORE_ITEMS);
  report.more = items();
  graphTab.drawing.closeAll();
  await enter("WANTED");
  report.found = document.getElementById("found").textContent;
  document.querySelector(".result a").click();
  report.selected = document.querySelectorAll("g.item.selected").length;
  report.details = document.getElementById("details").textContent;
  document.getElementById("which").value = "before";
  document.getElementById("which").dispatchEvent(new Event("change"));
  report.before = items();
  for (const tab of tabs.slice(1)) {
    show(tab);
    report[tab.name] = document.getElementById("main").textContent.length;
    await enter("WANTED");
    document.querySelectorAll("details").forEach((each) => { each.open = true; });
    await pause(50);
  }
  show(passTab);
  report.stages = document.querySelectorAll(".stages li").length;
  passTab.slider.value = report.stages - 1;
  passTab.slider.dispatchEvent(new Event("input"));
  report.last = document.querySelector(".diff h2").textContent;
})().catch((error) => report.errors.push(String(error))).finally(() => {
  const made = document.createElement("pre");
  made.id = "report";
  made.textContent = JSON.stringify(report);
  document.body.append(made);
});
"""


def load(text: str, directory: Path) -> tuple[str, list[str]]:
    """The document after its scripts ran, and what they printed to the console."""
    path = directory / "page.html"
    path.write_text(text, encoding="utf-8")
    assert BROWSER is not None
    options = (
        *("--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr"),
        *("--virtual-time-budget=20000", "--window-size=1400,900", "--dump-dom"),
        f"--user-data-dir={directory / 'profile'}",
    )
    ran = subprocess.run(
        [BROWSER, *options, path.as_uri()],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    return ran.stdout, [line for line in ran.stderr.splitlines() if "CONSOLE" in line]


def drive(text: str, wanted: str, directory: Path) -> dict[str, Any]:
    """What the driver reports; it joins the page's own script."""
    driver = DRIVER.replace("WANTED", wanted)
    digest = base64.b64encode(hashlib.sha256(driver.encode()).digest()).decode()
    text = text.replace("script-src ", f"script-src 'sha256-{digest}' ", 1)
    text = text.replace("</body>", f"<script>{driver}</script></body>")
    found, printed = load(text, directory)
    assert printed == []
    report = re.search(r'<pre id="report">(.*?)</pre>', found, re.DOTALL)
    assert report, found[-2000:]
    return json.loads(html.unescape(report[1]))


@pytest.mark.parametrize(
    "name", ["cnn_training", "transformer_training", "lstm_training"]
)
def test_a_page_opens_closes_and_finds(name: str, tmp_path: Path) -> None:
    document = view(parse((GRAPHS / f"{name}.gir").read_text()), title=name)
    report = drive(page(document), "reduce_sum", tmp_path)
    assert report["errors"] == []
    assert report["title"] == name
    assert report["closed"] < report["first"] <= report["more"]
    assert report["opened"] > report["closedAgain"] == report["closed"]
    count = sum(
        "reduce_sum" in f"{node.op.name} {node.attributes}"
        for graph in document.graph.reachable()
        for node in graph.nodes
    )
    assert int(report["found"].split()[0].replace(",", "")) >= count > 0
    assert report["selected"] == 1
    assert "reduce_sum" in report["details"]
    assert report["before"] > 0
    assert report["stages"] == len(document.data["stages"])
    assert report["last"].startswith(f"{report['stages']}. ")
    for tab in ("Passes", "Kernels", "Ledger", "Numerics and memory"):
        assert report[tab] > 100


def test_the_page_allows_its_own_script_and_no_other(tmp_path: Path) -> None:
    name = "</script><img src=x onerror=alert(1)>\x1b\u202e"
    graph = parse(
        """
        graph @f(%x: f32[4]) -> (f32[4]) {
          %y = tanh(%x) : f32[4]  loc("PATH" model.py:1:1)
          return %y
        }""".replace("PATH", json.dumps(name)[1:-1])
    )
    text = page(view(graph, "dce", title=name))
    found, printed = load(text, tmp_path)
    assert printed == []
    assert "<img" not in found
    assert r"\u{202e}" in re.search(r'<h1 id="title">(.*?)</h1>', found)[1]  # type: ignore[index]
    injected = text.replace("</body>", "<script>document.title = 'in'</script></body>")
    found, printed = load(injected, tmp_path)
    assert "<title>in</title>" not in found
    assert printed  # the browser says what it refused


def test_twenty_thousand_nodes(tmp_path: Path) -> None:
    """A flat graph, which has no layers to fold it by, and one with a layer each."""
    lines = [f"  %v{0} = tanh(%x) : f32[8]"]
    for number in range(1, 20_000):
        place = (
            f'  loc("net/block_{number // 40}/layer_{number // 10}" m.py:{number}:1)'
        )
        location = place if number < 10_000 else ""
        lines.append(f"  %v{number} = tanh(%v{number - 1}) : f32[8]{location}")
    graph = parse(
        "\n".join(
            ["graph @f(%x: f32[8]) -> (f32[8]) {", *lines, "  return %v19999", "}"]
        )
    )
    assert len(run(graph, "dce")) == 20_000
    text = page(view(graph, "dce"))
    assert len(text) < 15_000_000
    report = drive(text, "v12345", tmp_path)
    assert report["errors"] == []
    assert report["first"] < 200
    assert report["more"] < 500
    assert report["found"] == "1 node found"
