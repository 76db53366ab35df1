"""The windows of periods, worked out once more in the plainest way, so that the auditor owes nothing to the ledger."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from zoneinfo import ZoneInfo

CODES: Final = ("d", "w", "m")
NAMES: Final = {"d": "day", "w": "week", "m": "month"}
ADVERBS: Final = {"d": "daily", "w": "weekly", "m": "monthly"}

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """A window of a period: its first instant, and the first after it, in ms."""

    code: str
    name: str
    start: int
    end: int


@lru_cache(maxsize=4096)
def window_at(code: str, ms: int, zone: ZoneInfo) -> str:
    """Return the name of the window that an instant falls into."""
    day = (_EPOCH + timedelta(milliseconds=ms)).astimezone(zone).date()
    if code == "w":
        day -= timedelta(days=day.weekday())
    elif code == "m":
        day = day.replace(day=1)
    return day.isoformat()


@lru_cache(maxsize=4096)
def bounds(code: str, window: str, zone: ZoneInfo) -> tuple[int, int]:
    """Return the first instant of a window and the first after it."""
    first = date.fromisoformat(window)
    days = {"d": 1, "w": 7, "m": 31}[code]
    after = first + timedelta(days=days)
    if code == "m":
        while after.month == first.month:
            after += timedelta(days=1)
        after = after.replace(day=1)
    return midnight(first, zone), midnight(after, zone)


def span(code: str, window: str, zone: ZoneInfo) -> Span:
    """Return a window with its bounds."""
    return Span(code, window, *bounds(code, window, zone))


def midnight(day: date, zone: ZoneInfo) -> int:
    """Return the instant at which a day begins, in ms."""
    moment = datetime.combine(day, time(), zone).astimezone(UTC)
    return (moment - _EPOCH) // timedelta(milliseconds=1)
