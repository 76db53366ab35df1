"""What to hold for, given how long answers were: the cheapest length, whatever was seen."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreason_budget.metering.lengths import (
    COLUMNS,
    KIN,
    TAIL,
    LengthCounts,
    column_of,
    length_to_hold,
    row_of,
)

columns = st.integers(0, len(COLUMNS) - 1)
counts = st.dictionaries(columns, st.integers(1, 2_000), min_size=1, max_size=12).map(
    lambda by_column: LengthCounts.parse(_text(by_column))
)


def _text(by_column: dict[int, int]) -> str:
    return " ".join(["0", *(f"{column}={count}" for column, count in by_column.items())])


@given(st.integers(0, COLUMNS[-1]))
def test_a_column_covers_its_answers_and_hardly_more(tokens: int) -> None:
    covered = COLUMNS[column_of(tokens)]

    assert tokens <= covered <= tokens * 1.1 + 1


@pytest.mark.parametrize(("place", "last"), [(row_of, 32), (column_of, 138)])
def test_whatever_is_longer_than_the_scale_is_at_its_end(place: object, last: int) -> None:
    assert callable(place)
    assert (place(0), place(10**6), place(10**12)) == (0, last, last)


@given(row=st.one_of(st.none(), counts), everything=counts, dearness=st.floats(1, 10**6))
def test_it_is_the_cheapest_of_all_lengths(row: LengthCounts | None, everything: LengthCounts, dearness: float) -> None:
    def share_longer(tokens: int) -> float:
        own = {} if row is None else row.by_column
        seen_longer = sum(count for column, count in own.items() if COLUMNS[column] > tokens)
        all_longer = sum(count for column, count in everything.by_column.items() if COLUMNS[column] > tokens)
        top = COLUMNS[max([*own, *everything.by_column])]
        unseen = min(1, top / tokens) ** TAIL
        return (seen_longer + KIN * (all_longer + unseen) / (everything.total + 1)) / (sum(own.values()) + KIN)

    def price(tokens: int) -> float:
        return tokens / everything.mean + dearness * share_longer(tokens)

    chosen = length_to_hold(row, everything, dearness)

    seen = [] if row is None else [*row.by_column]
    known = {*seen, *everything.by_column}
    candidates = [COLUMNS[column] for column in [*known, *range(max(known) + 1, len(COLUMNS))]]
    assert chosen in candidates
    assert price(chosen) == pytest.approx(min(map(price, candidates)), rel=1e-9)


@given(row=st.one_of(st.none(), counts), everything=counts, level=st.floats(0, 13), more=st.floats(0, 3))
def test_the_dearer_an_exceeding_call_the_longer_the_hold(
    row: LengthCounts | None, everything: LengthCounts, level: float, more: float
) -> None:
    less, dearer = (length_to_hold(row, everything, math.exp(power)) for power in (level, level + more))

    assert less <= dearer


def test_what_was_never_exceeded_may_be_once_more_calls_were_seen() -> None:
    """After ten answers of 100 tokens the next may well be longer; after a thousand hardly."""
    young, old = (LengthCounts.parse(f"0 {column_of(100)}={count}") for count in (10, 1_000))

    assert (length_to_hold(None, young, 100), length_to_hold(young, young, 100)) == (230, 176)
    assert length_to_hold(old, old, 100) == 101


@pytest.mark.parametrize(
    "text",
    [
        "",
        "5",
        "5 ",
        "5 3",
        "5 3=",
        "5 3=x",
        "5 x=3",
        "5 3=0",
        "5 3=-1",
        "5 -1=3",
        "5 999=3",
        "5  3=1",
        "5 3=9999999",
        "x" * 5_000,
    ],
)
def test_what_are_no_counts_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"unpack|no counts|invalid literal|too long|too many"):
        LengthCounts.parse(text)
