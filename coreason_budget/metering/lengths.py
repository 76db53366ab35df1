"""
How long answers were, in counts of bounded size, and from that the length to hold for. Pure arithmetic, in tokens.

Prompts and answers are told apart by length, on scales whose steps grow with it: a row for each length of prompt, with
a count in each column of lengths of answers. Holding for ``q`` tokens costs ``q`` with every call; a call that comes
out longer costs nothing but counts as exceeding. What is held for is the ``q`` with the least

    q / mean length + dearness x share of the calls that are longer than q

in the row of the call. So the few calls that may exceed are spent where they save most: in rows with a long, thin tail.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["LengthCounts", "column_of", "length_to_hold", "row_of"]

LONGEST: Final = 1 << 20
KIN: Final = 5  # a row counts as if it had seen, beside its own calls, so many like those of all rows
TAIL: Final = 3  # what is longer than all that was seen is thought to thin out as this power of its length
MAX_TEXT: Final = 4_200
MAX_COUNT: Final = 1_000_000
_EMPTY: Final[Mapping[int, int]] = {}


def _scale(first: int, steps_per_octave: int) -> tuple[int, ...]:
    """Return lengths from the first to LONGEST, each the whole number after a step from the one before."""
    lengths = [first]
    while lengths[-1] < LONGEST:
        lengths.append(max(lengths[-1] + 1, math.ceil(lengths[-1] * 2 ** (1 / steps_per_octave))))
    return tuple(lengths)


ROWS: Final = _scale(16, 2)
COLUMNS: Final = _scale(1, 8)


def row_of(input_tokens: int) -> int:
    """Return the row of a prompt of that many tokens."""
    return _place(ROWS, input_tokens)


def column_of(output_tokens: int) -> int:
    """Return the column of an answer of that many tokens."""
    return _place(COLUMNS, output_tokens)


def _place(scale: Sequence[int], length: int) -> int:
    return min(bisect_left(scale, length), len(scale) - 1)


@dataclass(frozen=True, slots=True)
class LengthCounts:
    """How many answers were seen in each column; ``total`` of them with a ``mean`` length in tokens."""

    by_column: Mapping[int, int]
    total: int
    mean: float

    @classmethod
    def parse(cls, text: str) -> LengthCounts:
        """Read counts as ``charge.lua`` writes them. Raise ValueError if the text is no such counts."""
        if len(text) > MAX_TEXT:
            raise ValueError(f"too long: {text:.40}")
        by_column: dict[int, int] = {}
        for cell in text.split(" ")[1:]:
            column, _, count = cell.partition("=")
            by_column[int(column)] = int(count)
        if not by_column or min(by_column.values()) < 1 or not 0 <= min(by_column) <= max(by_column) < len(COLUMNS):
            raise ValueError(f"no counts of answers: {text:.40}")
        total = sum(by_column.values())
        if total > MAX_COUNT:
            raise ValueError(f"too many: {text:.40}")
        length = sum(COLUMNS[column] * count for column, count in by_column.items())
        return cls(by_column, total, length / total)

    def with_guess(self, column: int) -> LengthCounts:
        """Return these counts with one answer more that was not seen and leaves the mean alone."""
        return replace(
            self, by_column={**self.by_column, column: self.by_column.get(column, 0) + 1}, total=self.total + 1
        )


def length_to_hold(row: LengthCounts | None, all_rows: LengthCounts, dearness: float) -> int:
    """
    Return how long an answer to hold for, in tokens, given what was seen in its row and in all rows.

    ``dearness`` is how many answers of mean length one is willing to hold so that no call exceeds.
    """
    own, others = (_EMPTY, 0) if row is None else (row.by_column, row.total), all_rows.by_column
    by_column, seen = own
    weight = 1 / (seen + KIN)
    unseen = KIN * weight / (all_rows.total + 1)
    columns = sorted(by_column.keys() | others.keys(), reverse=True)

    best, least = _beyond(columns[0], all_rows.mean, dearness * unseen)
    longer = unseen
    for column in columns:
        if dearness * longer >= least:  # from here on only more calls are longer
            break
        price = COLUMNS[column] / all_rows.mean + dearness * longer
        if price < least:
            best, least = column, price
        longer += by_column.get(column, 0) * weight + others.get(column, 0) * unseen
    return COLUMNS[best]


def _beyond(top: int, mean: float, dearness: float) -> tuple[int, float]:
    """Return the best column above all that were seen, and its price."""
    best, least = top, math.inf
    for column in range(top + 1, len(COLUMNS)):
        price = COLUMNS[column] / mean + dearness * (COLUMNS[top] / COLUMNS[column]) ** TAIL
        if price >= least:
            break
        best, least = column, price
    return best, least
