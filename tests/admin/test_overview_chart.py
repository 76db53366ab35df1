"""The charts of the overview: what is drawn of amounts, and the stretches of time that they are of."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation

from coreason_budget.admin.overview_chart import chart
from coreason_budget.admin.overview_sums import Amounts, days_between, hours_of
from coreason_budget.periods import Period, window_at

BERLIN = ZoneInfo("Europe/Berlin")

BERLIN = ZoneInfo("Europe/Berlin")


def drawn(*stacks, names=("a", "b")):
    stretches = days_between(date(2026, 5, 1), date(2026, 5, len(stacks)), ZoneInfo("UTC"))[1]
    found = [Amounts(stack, sum(stack)) for stack in stacks]
    return chart(stretches, found, list(names), name="n", title="t", caption="c")


def test_columns_are_as_high_as_their_amounts():
    made = drawn((3_000_000_000, 1_000_000_000), (0, 2_000_000_000))

    assert [label for _, label, _ in made.lines] == ["$0.00", "$1.00", "$2.00", "$3.00", "$4.00"]
    assert [[(each.colour, each.y, each.height) for each in column.slices] for column in made.columns] == [
        [(0, "25.000", "75.000"), (1, "0.000", "25.000")],
        [(1, "50.000", "50.000")],
    ]
    assert [column.room for column in made.columns] == [("0.000", "50.000"), ("50.000", "50.000")]
    assert made.columns[0].title == "May 1, 2026: $4.00"


def test_what_was_given_back_is_drawn_below_nothing():
    made = drawn((3_000_000_000, -1_000_000_000))

    assert [(y, label, is_zero) for y, label, is_zero in made.lines] == [
        ("100.000", "-$1.00", False),
        ("75.000", "$0.00", True),
        ("50.000", "$1.00", False),
        ("25.000", "$2.00", False),
        ("0.000", "$3.00", False),
    ]
    assert [(each.y, each.height) for each in made.columns[0].slices] == [("0.000", "75.000"), ("75.000", "25.000")]


def test_time_goes_the_way_one_reads():
    with translation.override("he"):
        made = drawn((1, 0), (1, 0), (1, 0))

        assert [column.room[0] for column in made.columns] == ["66.667", "33.333", "0.000"]
        assert made.axis_edge == ("0", "start")


@pytest.mark.parametrize(
    ("last", "period", "count"),
    [
        (date(2026, 1, 1), Period.DAY, 1),
        (date(2026, 3, 3), Period.DAY, 62),
        (date(2026, 3, 4), Period.WEEK, 10),
        (date(2027, 3, 7), Period.WEEK, 62),
        (date(2027, 3, 8), Period.MONTH, 15),
        (date(2031, 1, 4), Period.MONTH, 61),
    ],
)
def test_many_days_become_weeks_and_months_that_leave_no_gap(last, period, count):
    found, stretches = days_between(date(2026, 1, 1), last, BERLIN)

    assert (found, len(stretches)) == (period, count)
    assert stretches[0].start == datetime(2026, 1, 1, tzinfo=BERLIN)
    assert stretches[-1].end == datetime.combine(last + timedelta(days=1), datetime.min.time(), BERLIN)
    assert all(one.end == other.start for one, other in pairwise(stretches))


@pytest.mark.parametrize(("day", "count"), [(28, 24), (29, 23)])
def test_a_day_has_the_hours_that_it_has(day, count):
    hours = hours_of(window_at(Period.DAY, datetime(2026, 3, day, 12, tzinfo=UTC), BERLIN), BERLIN)

    assert len(hours) == count
    assert hours[0].label == "00:00"
    assert hours[-1].title == "23:00\N{EN DASH}00:00"
