"""
Calendar periods and their windows. A window is named by its first day; nothing is ever reset by a job.

Instants are milliseconds since the epoch (UTC), as Redis' TIME gives them; time zones come in only to find midnights.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from enum import StrEnum
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

__all__ = ["PERIODS", "Period", "Window", "from_ms", "to_ms", "window_at", "window_named"]


class Period(StrEnum):
    """A calendar period that a limit can have. Weeks begin on Monday."""

    DAY = "day"
    WEEK = "week"
    MONTH = "month"

    @property
    def code(self) -> str:
        """The one letter that stands for the period in Redis."""
        return self.value[0]


PERIODS: Final = tuple(Period)


@dataclass(frozen=True, slots=True)
class Window:
    """One concrete period: its first day, and its bounds as instants (the end is not part of it)."""

    period: Period
    first_day: date
    start: datetime
    end: datetime

    @property
    def id(self) -> str:
        """The window's name, its first day as ``2026-11-23``; names sort as the windows follow each other."""
        return self.first_day.isoformat()


def window_at(period: Period, instant: datetime, zone: ZoneInfo) -> Window:
    """Return the window of a period that an aware instant falls into, in the calendar of a time zone."""
    return _window(period, _first_day(period, instant.astimezone(zone).date()), zone)


@lru_cache(maxsize=1024)
def window_named(period: Period, window_id: str, zone: ZoneInfo) -> Window:
    """Return the window with this id. Raise ValueError if the id is no date."""
    return _window(period, date.fromisoformat(window_id), zone)


def neighbours(period: Period, instant: datetime, zone: ZoneInfo) -> tuple[Window, Window, Window]:
    """Return the windows before, at and after an instant; a server whose clock differs picks among them."""
    now = window_at(period, instant, zone)
    before = _window(period, _first_day(period, now.first_day - timedelta(days=1)), zone)
    return before, now, _window(period, _next_first_day(period, now.first_day), zone)


def from_ms(ms: int) -> datetime:
    """Return an instant in milliseconds since the epoch as an aware datetime in UTC, exactly."""
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=ms)


def to_ms(instant: datetime) -> int:
    """Return an aware datetime as milliseconds since the epoch, rounded down."""
    return (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(milliseconds=1)


def _first_day(period: Period, day: date) -> date:
    match period:
        case Period.DAY:
            return day
        case Period.WEEK:
            return day - timedelta(days=day.weekday())
        case Period.MONTH:
            return day.replace(day=1)


def _next_first_day(period: Period, first_day: date) -> date:
    match period:
        case Period.DAY:
            return first_day + timedelta(days=1)
        case Period.WEEK:
            return first_day + timedelta(days=7)
        case Period.MONTH:
            return (first_day + timedelta(days=32)).replace(day=1)


def _window(period: Period, first_day: date, zone: ZoneInfo) -> Window:
    return Window(period, first_day, _midnight(first_day, zone), _midnight(_next_first_day(period, first_day), zone))


def _midnight(day: date, zone: ZoneInfo) -> datetime:
    """
    Return the instant a local day begins, in UTC.

    Where the clock jumps over midnight (Beirut, Asuncion), ``fold=0`` makes the conversion take the offset before
    the jump, which is the instant of the jump itself.
    """
    return datetime.combine(day, time(), zone).astimezone(UTC)
