"""The figures as one picture in SVG: ratios as bars, and what grows as lines, a small panel for each."""

from __future__ import annotations

from itertools import groupby
from math import log10
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from .tables import Row

__all__ = ["plot"]

BAR: Final = 22
LEFT: Final = 330
WIDE: Final = 480
PANEL: Final = (400, 220)
#: Of a panel: what its axes leave free on the left, the top, the right and the bottom.
FREE: Final = (60, 40, 20, 34)
PER_LINE: Final = 2
COLOURS: Final = ("#3267a8", "#c2571a", "#3d8b57", "#8a4fa3")
#: What an x axis counts, by part.
COUNTED: Final = {
    "holds": "open holds",
    "accounts": "accounts",
    "periods": "periods with a limit",
    "concurrency": "threads or tasks",
    "rebuilds": "records of today",
}


def plot(rows: Iterable[Row]) -> str:
    """Return the picture: the multiples of a PING as bars, then a panel for each part whose figures grow."""
    everything = list(rows)
    bars = _bars([row for row in everything if row.ratio is not None])
    growing = [row for row in everything if row.x is not None]
    parts = [list(group) for _, group in groupby(growing, key=lambda row: row.part)]
    top = BAR * (len([row for row in everything if row.ratio is not None]) + 2) if bars else 0
    panels: list[str] = []
    for i, part in enumerate(parts):
        x, y = i % PER_LINE * PANEL[0] + 20, i // PER_LINE * PANEL[1] + top
        panels += [f'<g transform="translate({x} {y})">', *_panel(part), "</g>"]
    height = top + -(-len(parts) // PER_LINE) * PANEL[1] + 10
    size = f'viewBox="0 0 {LEFT + WIDE + 70} {height}" font-family="sans-serif" font-size="12"'
    background = f'<rect width="100%" height="{height}" fill="white"/>'
    return "\n".join([f'<svg xmlns="http://www.w3.org/2000/svg" {size}>', background, *bars, *panels, "</svg>", ""])


def _bars(rows: Sequence[Row]) -> list[str]:
    if not rows:
        return []
    longest = max(row.ratio or 0 for row in rows)
    lines = [f'<text x="{LEFT}" y="15" font-weight="bold">time as a multiple of the same client\'s PING</text>']
    for i, row in enumerate(rows, 1):
        y, width = BAR * i + 4, WIDE * (row.ratio or 0) / longest
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(row.name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 8}" fill="{COLOURS[0]}"/>',
            f'<text x="{LEFT + width + 5:.1f}" y="{y + 12}">{row.ratio:.2f}</text>',
        ]
    return lines


def _panel(rows: Sequence[Row]) -> list[str]:
    """Return a part's figures as lines over a logarithmic x axis, whose left end also stands for zero."""
    left, top, right, bottom = FREE
    part, unit = rows[0].part, rows[0].unit
    most, last = max(row.value or 0 for row in rows), max(row.x or 0 for row in rows)
    wide, high = PANEL[0] - left - right, PANEL[1] - top - bottom

    def at(row: Row) -> tuple[float, float]:
        x = left + wide * log10(max(row.x or 0, 1)) / log10(max(last, 10))
        return x, top + high * (1 - (row.value or 0) / most)

    lines = [
        f'<text x="{left}" y="16" font-weight="bold">{escape(part)}: {escape(unit)}</text>',
        f'<path d="M{left} {top} V{top + high} H{left + wide}" fill="none" stroke="#999"/>',
        f'<text x="{left - 6}" y="{top + 10}" text-anchor="end">{_short(most)}</text>',
        f'<text x="{left - 6}" y="{top + high}" text-anchor="end">0</text>',
    ]
    counted = COUNTED.get(part.partition(",")[0], "")
    xs = {at(row)[0]: row.x or 0 for row in rows}
    lines += [
        f'<text x="{x:.1f}" y="{top + high + 14}" text-anchor="middle">{_short(xs[x])}</text>' for x in sorted(xs)
    ]
    lines.append(f'<text x="{left + wide}" y="{top + high + 28}" text-anchor="end" fill="#555">{counted}</text>')
    for i, name in enumerate(dict.fromkeys(row.line for row in rows)):
        points = [at(row) for row in rows if row.line == name]
        colour = COLOURS[i % len(COLOURS)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
        lines.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        lines += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in points]
        lines.append(f'<text x="{left + 8 + 150 * i}" y="{top - 8}" fill="{colour}">{escape(name)}</text>')
    return lines


def _short(number: float) -> str:
    """Return a number as an axis shows it: 5M, 100k, 250, 0.4."""
    for size, letter in ((1_000_000, "M"), (1_000, "k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:.3g}"
