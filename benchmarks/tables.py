"""What a benchmark found: rows, the one table that people read, and the plot."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Row", "spread", "table"]

LEAST_ROUNDS: Final = 2


@dataclass(frozen=True, slots=True)
class Row:
    """
    One figure. ``ratio`` is a multiple of the same client's PING, ``spread`` its 5th and 95th percentile.

    A figure that grows with something is a point of a ``line``, at ``x``; its spread is that of the figure.
    """

    part: str
    name: str
    value: float | None
    unit: str
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    note: str = ""
    x: float | None = None
    line: str = ""

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
