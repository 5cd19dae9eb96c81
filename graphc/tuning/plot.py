"""Pictures of searches: HTML with an SVG of its own, or PNG where matplotlib is there."""

from __future__ import annotations

import html
import io
import math
from collections.abc import Mapping, Sequence
from importlib import import_module
from itertools import accumulate
from pathlib import Path
from typing import Any, TypeAlias

from graphc.files.atomic_file import write_file
from graphc.ir.errors import GraphcError, UnsupportedError

WIDTH, HEIGHT, MARGIN = 720, 260, 44

Rows: TypeAlias = Sequence[Mapping[str, Any]]


def plot(rows: Rows, path: Path) -> None:
    """Writes a picture of each search: every trial, and the best so far.

    Args:
        rows: The rows of a measurement store.
        path: The file, ``.html`` or ``.png``.

    Raises:
        GraphcError: For another ending, or if there is nothing to draw.
        UnsupportedError: For PNG without matplotlib.
    """
    searches = {title: found for title, found in _searches(rows).items() if found}
    if not searches:
        raise GraphcError("the measurement store has nothing to draw")
    if path.suffix == ".html":
        write_file(str(path), [page(searches).encode()])
    elif path.suffix == ".png":
        write_file(str(path), [_png(searches)])
    else:
        raise GraphcError("a plot is .html or .png", received=path.name[:80])


def _searches(rows: Rows) -> dict[str, list[tuple[str, float]]]:
    """The choices and ratios of each search, in order."""
    found: dict[str, list[tuple[str, float]]] = {}
    for row in rows:
        title = f"{row['key']}, {row['shape']}, {row['device']}, run {row['run']}"
        trials = found.setdefault(title, [])
        ratio = row["ratio"]
        if row["status"] == "measured" and ratio and math.isfinite(ratio) and ratio > 0:
            trials.append((str(row["choice"]), float(ratio)))
    return found


def page(searches: Mapping[str, Sequence[tuple[str, float]]]) -> str:
    """A page that needs nothing else, with a picture for each search."""
    pictures = "".join(
        f"<h2>{html.escape(title)}</h2>{_svg(trials)}"
        for title, trials in searches.items()
    )
    return (
        '<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        "<title>graphc tune</title><style>body{font-family:sans-serif;margin:2em}"
        "h2{font-size:1em}text{font-size:11px}</style></head><body>"
        "<h1>Searches</h1><p>Time relative to the canonical choice, in the order of"
        f" the trials; the line is the best so far.</p>{pictures}</body></html>\n"
    )


def _svg(trials: Sequence[tuple[str, float]]) -> str:
    ratios = [ratio for _, ratio in trials]
    low, high = min(*ratios, 0.9), max(*ratios, 1.1)

    def x(place: int) -> float:
        return MARGIN + place * (WIDTH - 2 * MARGIN) / max(1, len(trials) - 1)

    def y(ratio: float) -> float:
        part = math.log(ratio / low) / math.log(high / low)
        return HEIGHT - MARGIN - part * (HEIGHT - 2 * MARGIN)

    best = list(accumulate(ratios, min))
    line = " ".join(f"{x(i):.1f},{y(r):.1f}" for i, r in enumerate(best))
    dots = "".join(
        f'<circle cx="{x(i):.1f}" cy="{y(ratio):.1f}" r="3" fill="#4477aa">'
        f"<title>{html.escape(f'{choice}: {ratio:.3f}')}</title></circle>"
        for i, (choice, ratio) in enumerate(trials)
    )
    marks = "".join(
        f'<line x1="{MARGIN}" x2="{WIDTH - MARGIN}" y1="{y(r):.1f}" y2="{y(r):.1f}"'
        f' stroke="#ccc"/><text x="4" y="{y(r) + 4:.1f}">{r:.2f}</text>'
        for r in sorted({low, 1.0, high})
    )
    return (
        f'<svg width="{WIDTH}" height="{HEIGHT}" role="img">{marks}'
        f'<polyline points="{line}" fill="none" stroke="#cc6677" stroke-width="2"/>'
        f"{dots}</svg>"
    )


def _png(searches: Mapping[str, Sequence[tuple[str, float]]]) -> bytes:
    try:
        figures: Any = import_module("matplotlib.figure")
    except ImportError as error:
        raise UnsupportedError(
            "a PNG needs matplotlib", hint="pip install matplotlib, or write .html"
        ) from error
    figure = figures.Figure(figsize=(8, 3 * len(searches)))
    for place, (title, trials) in enumerate(searches.items(), 1):
        axes = figure.add_subplot(len(searches), 1, place)
        ratios = [ratio for _, ratio in trials]
        axes.plot(ratios, "o", markersize=3)
        axes.step(range(len(ratios)), list(accumulate(ratios, min)), where="post")
        axes.set_yscale("log")
        axes.set_title(title, fontsize=8)
        axes.set_ylabel("of canonical")
    figure.tight_layout()
    content = io.BytesIO()
    figure.savefig(content, format="png")
    return content.getvalue()
