"""
Reading what was noted of refused calls. All of it is an administrator's: names and amounts of anybody.

Each reader is an operation that the manager drives: ``budget.drive(unknown_models(budget.ledger))``. Losing what they
read loses no money; whoever wants to be sure of sums reads the spend records.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from ..ledger.scripts import text_of
from ..ledger.steps import Command
from ..log import logger
from ..periods import Period, from_ms, window_at
from ..scopes import Scope
from .notes import Note

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from ..ledger.redis import RedisLedger
    from ..ledger.steps import Operation

__all__ = ["COUNTED_DAYS", "MOST_MODELS", "Counts", "UnknownModel", "counts", "find", "newest", "unknown_models"]

#: Counts are kept for so many days, today included.
COUNTED_DAYS: Final = 400
#: Of models without a price so many are kept, each until nobody has asked for it for so many days.
MOST_MODELS: Final = 500
MODEL_DAYS: Final = 90
#: Beside the levels, in the counts: what could not be kept.
DROPPED: Final = "dropped"
_DAY: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class UnknownModel:
    """A model that was asked for though no price is known: how often since it was first seen, and when last."""

    name: str
    times: int
    last: datetime


@dataclass(frozen=True, slots=True)
class Counts:
    """
    Refused calls by day and level. Nothing is known of days before ``since``; None if none was ever counted.

    Of those on a day so many were ``dropped``: they are counted, but what was decided could not be kept.
    """

    since: date | None
    by_day: Mapping[date, Mapping[str, int]]

    def between(self, first: date, last: date) -> dict[Scope, int]:
        """Return how many calls each level has refused from one day to another, both included."""
        days = [levels for day, levels in self.by_day.items() if first <= day <= last]
        return {scope: sum(levels.get(scope, 0) for levels in days) for scope in Scope}

    def dropped(self, first: date, last: date) -> int:
        """Return of how many calls the reason was not kept, from one day to another, both included."""
        return sum(levels.get(DROPPED, 0) for day, levels in self.by_day.items() if first <= day <= last)


def find(ledger: RedisLedger, reference: str) -> Operation[Note | None]:
    """Return what is noted under a reference, as it was given out; None if nothing is. Raise BudgetUnavailableError."""
    text = yield Command(("HGET", ledger.keys.refusals, reference))
    return _read(ledger, text_of(text))


def newest(ledger: RedisLedger, most: int) -> Operation[list[tuple[str, Note]]]:
    """Return the latest notes with their references, at most so many. Raise BudgetUnavailableError."""
    found = yield Command(("ZREVRANGE", ledger.keys.refusal_times, 0, most - 1))
    references = [text_of(reference) for reference in found]
    if not references:
        return []
    texts = yield Command(("HMGET", ledger.keys.refusals, *references))
    notes = ((reference, _read(ledger, text_of(text))) for reference, text in zip(references, texts, strict=True))
    return [(reference, note) for reference, note in notes if note is not None]


def counts(ledger: RedisLedger, first: date | None = None) -> Operation[Counts]:
    """
    Return how many calls were refused on each day from the first on, by default on all that are still counted.

    Days are those of the time zone of the settings. Raise BudgetUnavailableError.
    """
    today = _today(ledger)
    oldest = today - _DAY * (COUNTED_DAYS - 1)
    begin = max(oldest, min(first or oldest, today))
    days = [begin + _DAY * number for number in range((today - begin).days + 2)]  # the server's clock may be ahead
    fields = [(day, level) for day in days for level in (*Scope, DROPPED)]
    names = (f"{day} {level}" for day, level in fields)
    texts = yield Command(("HMGET", ledger.keys.refusal_counts, "since", *names))
    since, *numbers = map(text_of, texts)
    found: dict[date, dict[str, int]] = {}
    for (day, level), number in zip(fields, numbers, strict=True):
        if number:
            found.setdefault(day, {})[level] = int(number)
    if not since:
        return Counts(None, found)
    began = from_ms(int(since)).astimezone(ledger.config.time_zone).date()
    return Counts(max(min((began, *found)), oldest), found)


def unknown_models(ledger: RedisLedger) -> Operation[list[UnknownModel]]:
    """
    Return the models that were asked for, or answered, though no price is known, the latest first.

    They are names that callers chose: at most MOST_MODELS of them, each of at most 200 characters. Two round trips.
    A model that has got a price since is still among them. Raise BudgetUnavailableError.
    """
    names = [text_of(name) for name in (yield Command(("ZREVRANGE", ledger.keys.unknown_model_times, 0, -1)))]
    if not names:
        return []
    texts = yield Command(("HMGET", ledger.keys.unknown_models, *names))
    oldest = from_ms(ledger.now()) - _DAY * MODEL_DAYS
    found = []
    for name, text in zip(names, map(text_of, texts), strict=True):
        times, _, last = text.partition(" ")
        if last and (at := from_ms(int(last))) >= oldest:
            found.append(UnknownModel(name, int(times), at))
    return found


def _today(ledger: RedisLedger) -> date:
    return window_at(Period.DAY, from_ms(ledger.now()), ledger.config.time_zone).first_day


def _read(ledger: RedisLedger, text: str) -> Note | None:
    """Return a note that is not too old; it may still be stored, as old ones go when new ones come."""
    if not text:
        return None
    try:
        note = Note.read(text)
    except (ValueError, TypeError, KeyError, OverflowError) as error:  # of a version that wrote another form
        logger.warning("What is noted of a refusal cannot be read: {}", error)
        return None
    return note if ledger.now() - note.at <= ledger.config.refusal_ttl * 1000 else None
