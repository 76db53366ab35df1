"""Windows: every instant is in exactly one of each period, however the clocks of a time zone jump."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo, available_timezones

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coreason_budget.periods import PERIODS, Period, Window, from_ms, neighbours, to_ms, window_at, window_named

ZONES = sorted(available_timezones() - {"localtime"})
NOW_AND_LATER = st.datetimes(datetime(2020, 1, 1), datetime(2045, 1, 1), timezones=st.just(UTC))  # noqa: DTZ001  # aware
HOUR = timedelta(hours=1)


def utc(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def bounds(period: Period, instant: str, zone: str = "UTC") -> tuple[str, datetime, datetime]:
    window = window_at(period, utc(instant), ZoneInfo(zone))
    return window.id, window.start, window.end


@pytest.mark.parametrize(
    ("period", "instant", "first", "last"),
    [
        (Period.DAY, "2026-11-23T00:00", "2026-11-23", "2026-11-24"),
        (Period.DAY, "2026-11-23T23:59:59.999999", "2026-11-23", "2026-11-24"),
        (Period.DAY, "2024-02-29T12:00", "2024-02-29", "2024-03-01"),
        (Period.WEEK, "2026-11-23T00:00", "2026-11-23", "2026-11-30"),
        (Period.WEEK, "2026-11-29T23:59:59", "2026-11-23", "2026-11-30"),
        (Period.WEEK, "2027-01-01T00:00", "2026-12-28", "2027-01-04"),
        (Period.WEEK, "2024-12-31T00:00", "2024-12-30", "2025-01-06"),
        (Period.MONTH, "2026-01-31T12:00", "2026-01-01", "2026-02-01"),
        (Period.MONTH, "2026-02-28T23:59", "2026-02-01", "2026-03-01"),
        (Period.MONTH, "2024-02-29T23:59", "2024-02-01", "2024-03-01"),
        (Period.MONTH, "2026-04-30T00:00", "2026-04-01", "2026-05-01"),
        (Period.MONTH, "2026-12-31T23:59:59", "2026-12-01", "2027-01-01"),
    ],
)
def test_windows_in_utc_begin_and_end_at_midnight(period: Period, instant: str, first: str, last: str) -> None:
    assert bounds(period, instant) == (first, utc(first), utc(last))


@pytest.mark.parametrize(
    ("zone", "instant", "day", "start", "end"),
    [
        ("Asia/Kolkata", "2026-11-22T18:30", "2026-11-23", "2026-11-22T18:30", "2026-11-23T18:30"),
        ("Asia/Kolkata", "2026-11-22T18:29:59", "2026-11-22", "2026-11-21T18:30", "2026-11-22T18:30"),
        ("America/Los_Angeles", "2026-11-23T07:59", "2026-11-22", "2026-11-22T08:00", "2026-11-23T08:00"),
        ("Pacific/Kiritimati", "2026-11-22T10:00", "2026-11-23", "2026-11-22T10:00", "2026-11-23T10:00"),
        ("Europe/Berlin", "2026-03-29T12:00", "2026-03-29", "2026-03-28T23:00", "2026-03-29T22:00"),
        ("Europe/Berlin", "2026-10-25T12:00", "2026-10-25", "2026-10-24T22:00", "2026-10-25T23:00"),
    ],
)
def test_days_are_those_of_the_time_zone(zone: str, instant: str, day: str, start: str, end: str) -> None:
    assert bounds(Period.DAY, instant, zone) == (day, utc(start), utc(end))


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", "2026-03-29", 23),
        ("Europe/Berlin", "2026-10-25", 25),
        ("America/New_York", "2026-03-08", 23),
        ("America/New_York", "2026-11-01", 25),
        ("Australia/Lord_Howe", "2026-04-05", 24.5),
        ("Asia/Beirut", "2026-03-29", 23),
        ("America/Asuncion", "2023-10-01", 23),
        ("America/Havana", "2026-11-01", 25),
        ("Pacific/Apia", "2011-12-30", 0),
    ],
)
def test_days_with_a_change_of_the_clock_are_shorter_or_longer(zone: str, day: str, hours: float) -> None:
    window = window_named(Period.DAY, day, ZoneInfo(zone))

    assert window.end - window.start == hours * HOUR


@pytest.mark.parametrize(
    ("zone", "day", "start"),
    [("Asia/Beirut", "2026-03-29", "2026-03-28T22:00"), ("America/Asuncion", "2023-10-01", "2023-10-01T04:00")],
)
def test_a_day_without_a_midnight_begins_when_the_clock_jumps(zone: str, day: str, start: str) -> None:
    moment = timedelta(microseconds=1)

    assert window_named(Period.DAY, day, ZoneInfo(zone)).start == utc(start)
    assert window_at(Period.DAY, utc(start), ZoneInfo(zone)).id == day
    assert window_at(Period.DAY, utc(start) - moment, ZoneInfo(zone)).id < day


def test_a_day_with_two_midnights_begins_with_the_first() -> None:
    havana = ZoneInfo("America/Havana")
    window = window_named(Period.DAY, "2026-11-01", havana)

    assert window.start == utc("2026-11-01T04:00")
    for instant in (window.start, window.start + HOUR, window.end - HOUR / 60):
        assert window_at(Period.DAY, instant, havana) == window


def test_a_day_whose_last_hour_comes_twice_ends_after_the_second() -> None:
    window = window_named(Period.DAY, "2026-10-24", ZoneInfo("Asia/Beirut"))

    assert window.end - window.start == 25 * HOUR
    assert window_at(Period.DAY, window.end - HOUR / 60, ZoneInfo("Asia/Beirut")) == window


def test_a_day_that_a_country_left_out_is_empty() -> None:
    apia = ZoneInfo("Pacific/Apia")
    before, now, after = neighbours(Period.DAY, utc("2011-12-30T09:59"), apia)

    assert (before.id, now.id, after.id) == ("2011-12-28", "2011-12-29", "2011-12-30")
    assert after.start == after.end
    assert window_at(Period.DAY, after.end, apia).id == "2011-12-31"


def test_the_same_instant_in_another_zone_is_in_the_same_window() -> None:
    instant = datetime(2026, 11, 23, 1, tzinfo=ZoneInfo("Asia/Tokyo"))

    assert window_at(Period.DAY, instant, ZoneInfo("UTC")).id == "2026-11-22"


@pytest.mark.parametrize("period", PERIODS)
def test_a_window_is_found_again_by_its_name(period: Period) -> None:
    zone = ZoneInfo("America/Havana")
    window = window_at(period, utc("2026-11-01T04:30"), zone)

    assert window_named(period, window.id, zone) == window
    assert window.first_day == date.fromisoformat(window.id)


@pytest.mark.parametrize("window_id", ["", "today", "2026-02-29", "2026-13-01"])
def test_a_name_that_is_no_date_is_refused(window_id: str) -> None:
    with pytest.raises(ValueError, match=r"isoformat|month|day"):
        window_named(Period.DAY, window_id, ZoneInfo("UTC"))


@pytest.mark.parametrize("period", PERIODS)
def test_names_sort_as_windows_follow_each_other(period: Period) -> None:
    zone, instant, windows = ZoneInfo("UTC"), utc("2025-11-23T12:00"), list[Window]()
    while len(windows) < 60:
        windows.append(window_at(period, instant, zone))
        instant = windows[-1].end

    assert [window.id for window in windows] == sorted({window.id for window in windows})
    assert all(one.end == other.start for one, other in pairwise(windows))


@pytest.mark.parametrize(
    ("period", "ids"),
    [
        (Period.DAY, ("2026-12-31", "2027-01-01", "2027-01-02")),
        (Period.WEEK, ("2026-12-21", "2026-12-28", "2027-01-04")),
        (Period.MONTH, ("2026-12-01", "2027-01-01", "2027-02-01")),
    ],
)
def test_neighbours_of_a_window_touch_it(period: Period, ids: tuple[str, str, str]) -> None:
    windows = neighbours(period, utc("2027-01-01T00:00"), ZoneInfo("UTC"))

    assert tuple(window.id for window in windows) == ids
    assert all(one.end == other.start for one, other in pairwise(windows))


@given(st.sampled_from(PERIODS), NOW_AND_LATER, st.sampled_from(ZONES))
@example(Period.DAY, utc("2026-03-28T22:00"), "Asia/Beirut")
@example(Period.DAY, utc("2026-11-01T05:00"), "America/Havana")
def test_every_instant_is_in_its_window_and_windows_leave_no_gap(period: Period, instant: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    before, now, after = neighbours(period, instant, zone)

    assert now.start <= instant < now.end
    assert (before.end, now.end) == (now.start, after.start)
    assert before.id < now.id < after.id
    assert window_at(period, now.start, zone) == now
    assert window_at(period, now.end, zone) == after
    assert window_named(period, before.id, zone) == before


@given(NOW_AND_LATER, st.sampled_from(ZONES))
def test_a_week_and_a_month_are_whole_days(instant: datetime, name: str) -> None:
    zone = ZoneInfo(name)
    day = window_at(Period.DAY, instant, zone)
    for longer in (window_at(Period.WEEK, instant, zone), window_at(Period.MONTH, instant, zone)):
        assert longer.start <= day.start < day.end <= longer.end


def test_codes_are_letters_that_differ() -> None:
    assert [period.code for period in PERIODS] == ["d", "w", "m"]


@given(st.integers(-(10**13), 10**14))
def test_milliseconds_survive_the_way_there_and_back(ms: int) -> None:
    assert to_ms(from_ms(ms)) == ms
    assert to_ms(from_ms(ms) + timedelta(microseconds=999)) == ms


def test_milliseconds_are_those_of_the_epoch() -> None:
    assert from_ms(1_764_000_000_123) == datetime(2025, 11, 24, 16, 0, 0, 123_000, tzinfo=UTC)
