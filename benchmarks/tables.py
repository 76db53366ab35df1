"""What a benchmark found: rows, the one table that people read, and the plot."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final
from xml.sax.saxutils import escape

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Row", "plot", "spread", "table"]

LEAST_ROUNDS: Final = 2
BAR: Final = 22
LEFT: Final = 330
WIDE: Final = 480


@dataclass(frozen=True, slots=True)
class Row:
    """One figure. ``ratio`` is a multiple of the same client's PING, ``spread`` its 5th and 95th percentile."""

    part: str
    name: str
    value: float | None
    unit: str
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    note: str = ""

    def to_json(self) -> str:
        """Return the row as one line that from_json() reads."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, line: str) -> Row:
        """Read a row. See to_json()."""
        values = json.loads(line)
        values["spread"] = tuple(values["spread"]) if values["spread"] else None
        return cls(**values)


def spread(values: Sequence[float]) -> tuple[float, float] | None:
    """Return the 5th and the 95th percentile, None of a single value."""
    if len(values) < LEAST_ROUNDS:
        return None
    ordered = sorted(values)
    return ordered[len(ordered) // 20], ordered[-1 - len(ordered) // 20]


def table(rows: Iterable[Row]) -> str:
    """Return the rows as a table in Markdown, a heading for each part."""
    lines = ["| | figure | x PING | 5-95 % | |", "|---|---:|---:|---:|---|"]
    part = ""
    for row in rows:
        if row.part != part:
            part = row.part
            lines.append(f"| **{part}** | | | | |")
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        around = "" if row.spread is None else f"{row.spread[0]:.2f}-{row.spread[1]:.2f}"
        lines.append(f"| {row.name} | {_figure(row)} | {ratio} | {around} | {row.note} |")
    return "\n".join(lines)


def _figure(row: Row) -> str:
    if row.value is None:
        return row.unit
    digits = 0 if abs(row.value) >= 100 or row.value == int(row.value) else 1 if abs(row.value) >= 1 else 3  # noqa: PLR2004
    return f"{row.value:,.{digits}f} {row.unit}".strip()


def plot(rows: Iterable[Row]) -> str:
    """Return the rows that are multiples of a PING as bars, in SVG."""
    shown = [row for row in rows if row.ratio is not None]
    longest = max((row.ratio or 0 for row in shown), default=1)
    height = BAR * (len(shown) + 2)
    size = f'viewBox="0 0 {LEFT + WIDE + 70} {height}" font-family="sans-serif" font-size="12"'
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" {size}>',
        f'<rect width="100%" height="{height}" fill="white"/>',
        f'<text x="{LEFT}" y="15" font-weight="bold">time as a multiple of the same client\'s PING</text>',
    ]
    for i, row in enumerate(shown, 1):
        y, width = BAR * i + 4, WIDE * (row.ratio or 0) / longest
        lines += [
            f'<text x="{LEFT - 8}" y="{y + 12}" text-anchor="end">{escape(row.name)}</text>',
            f'<rect x="{LEFT}" y="{y}" width="{width:.1f}" height="{BAR - 8}" fill="#3267a8"/>',
            f'<text x="{LEFT + width + 5:.1f}" y="{y + 12}">{row.ratio:.2f}</text>',
        ]
    return "\n".join([*lines, "</svg>", ""])
