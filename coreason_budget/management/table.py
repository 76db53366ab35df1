"""``table``: rows as aligned plain text."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

__all__ = ["table"]


def table(head: Sequence[str], rows: Sequence[Sequence[str]], *, numbers: Collection[str] = ()) -> str:
    """Return rows below their head, two spaces between columns; the columns named in ``numbers`` end at the right."""
    lines = [head, *rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    at_the_right = [name in numbers for name in head]
    return "\n".join(_line(line, widths, at_the_right) for line in lines)


def _line(cells: Sequence[str], widths: Sequence[int], at_the_right: Sequence[bool]) -> str:
    padded = (
        cell.rjust(width) if right else cell.ljust(width)
        for cell, width, right in zip(cells, widths, at_the_right, strict=True)
    )
    return "  ".join(padded).rstrip()
