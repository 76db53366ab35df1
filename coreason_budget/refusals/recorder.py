"""
``Recorder``: gives each refused call its reference and has what was decided noted, by a thread of its own.

Whoever is refused waits for nothing. What cannot be noted is dropped and counted: it is no money.
"""

from __future__ import annotations

import atexit
import threading
import weakref
from collections import OrderedDict
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from secrets import token_hex
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..exceptions import BudgetUnavailableError
from ..ledger.forks import afresh_in_child
from ..ledger.lane import Lane, LaneFullError
from ..log import logger
from ..periods import Period, from_ms, to_ms, window_at, window_named
from ..scopes import MAX_ID_LENGTH
from .notes import Note
from .places import here
from .references import new_reference
from .store import COUNTED_DAYS, DROPPED, MODEL_DAYS, MOST_MODELS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..ledger.outcomes import Refused
    from ..ledger.redis import RedisLedger
    from ..ledger.scripts import Deposit
    from ..periods import Window

__all__ = ["Recorder", "flush_all"]

#: Refusals for the same reason share a reference while not more than so many milliseconds lie between two of them.
BURST_MS: Final = 60_000
#: So many bursts are remembered, and so many notes, and models, wait to be written.
BURSTS: Final = 1_000
WAITING: Final = 1_000
WAITING_MODELS: Final = 200
#: A write lets others join it for so many seconds, and is tried again after so many.
JOINED_WITHIN: Final = 0.1
RETRY_SECONDS: Final = 5.0
#: A script is sent so many notes, so that nobody waits for it behind thousands.
AT_ONCE: Final = 50
FLUSH_AT_EXIT_SECONDS: Final = 2.0
DAY_MS: Final = 86_400_000
COUNTED: Final = timedelta(days=COUNTED_DAYS - 1)

_all: weakref.WeakSet[Recorder] = weakref.WeakSet()


def flush_all(timeout: float) -> None:
    """Wait until all managers of this process have noted what they refused, at most that many seconds."""
    deadline = monotonic() + timeout
    for recorder in list(_all):
        recorder.flush(max(0.0, deadline - monotonic()))


@atexit.register
def _flush_at_exit() -> None:
    flush_all(FLUSH_AT_EXIT_SECONDS)


class Recorder:
    """
    Notes what one manager refuses. All of it is bounded, whatever the traffic, and safe to share between threads.

    A person who tries again, or a client that hammers, is given the same reference for as long as it goes on.
    """

    def __init__(self, ledger: RedisLedger) -> None:
        self._ledger = ledger
        self._kept = ledger.config.refusals_kept
        self._lane = Lane("refusals", 2, prepare=_nothing, tidy=_nothing, end=_nothing)
        self._start_afresh()
        afresh_in_child(self._start_afresh)
        _all.add(self)

    def _start_afresh(self) -> None:
        # In a forked child the lock may be held, and what waits is the parent's to write.
        self._lock = threading.Lock()
        self._bursts: OrderedDict[object, tuple[str, Note]] = OrderedDict()
        self._notes: dict[str, Note] = {}
        self._counts: dict[str, int] = {}
        self._models: dict[str, tuple[int, int]] = {}
        self._day: Window | None = None
        self._has_failed = False

    def note(self, refused: Refused, deposit: Deposit, asked: int) -> str:
        """Have a refusal of an amount (nano-USD) noted; return its reference, empty if none are kept."""
        place = here()
        view, path = ("", "") if place is None else (_told(place.view()), _told(place.path))
        window = window_named(refused.period, refused.window, self._ledger.config.time_zone)
        note = Note(
            at=refused.now,
            first=refused.now,
            times=1,
            user=str(deposit.user_id),
            project=deposit.project_id,
            level=refused.subject.scope.value,
            period=refused.period.value,
            spent=refused.spent,
            held=refused.held,
            limit=refused.limit,
            asked=asked,
            resets=to_ms(window.end),
            view=view,
            path=path,
        )
        with self._lock:
            self._count(f"{self._day_of(refused.now)} {note.level}")
            reference = self._noted(note) if self._kept else ""
        self._have_written()
        return reference

    def note_model(self, name: str) -> None:
        """Have it noted that no price is known for a model that was asked for, or has answered."""
        name = _told(name)
        if not name.strip():
            return
        with self._lock:
            self._keep_model(name, 1, self._ledger.now())
        self._have_written()

    def flush(self, timeout: float) -> bool:
        """Wait until what was refused is noted, at most that many seconds. Return whether all of it is."""
        return self._lane.flush(timeout) and not (self._notes or self._counts or self._models)

    def close(self, timeout: float = FLUSH_AT_EXIT_SECONDS) -> None:
        """Note what is still to be noted and end the thread; a later refusal starts it again."""
        self._lane.stop(timeout)
        self._has_failed = False  # a try that was set is given up with the thread

    # with the lock held ----------------------------------------------------------------------------------------------

    def _noted(self, note: Note) -> str:
        """Return the reference of a note: that of its burst, if it is one of many."""
        reason = (note.user, note.project, note.level, note.period, note.resets, note.limit, note.view, note.path)
        reference, before = self._bursts.pop(reason, ("", note))
        if reference and note.at - before.at <= BURST_MS:
            note = replace(note, first=before.first, times=before.times + 1)
        else:
            reference = new_reference()
        self._bursts[reason] = reference, note
        if len(self._bursts) > BURSTS:
            self._bursts.popitem(last=False)
        self._keep(reference, note)
        return reference

    def _keep(self, reference: str, note: Note) -> None:
        if reference in self._notes or len(self._notes) < WAITING:
            self._notes[reference] = note
        else:
            self._count(f"{self._day_of(note.at)} {DROPPED}")

    def _keep_model(self, name: str, times: int, at: int) -> None:
        known, latest = self._models.get(name, (0, at))
        if known or len(self._models) < WAITING_MODELS:
            self._models[name] = (known + times, max(latest, at))

    def _count(self, field: str, more: int = 1) -> None:
        self._counts[field] = self._counts.get(field, 0) + more

    def _day_of(self, ms: int) -> str:
        at = from_ms(ms)
        if self._day is None or not self._day.start <= at < self._day.end:
            self._day = window_at(Period.DAY, at, self._ledger.config.time_zone)
        return self._day.id

    # the thread ------------------------------------------------------------------------------------------------------

    def _have_written(self) -> None:
        if self._has_failed:
            return  # the next try is set
        with suppress(LaneFullError):  # the interpreter ends
            self._lane.submit(self._write, once="write", within=JOINED_WITHIN)

    def _write(self) -> None:
        with self._lock:
            notes, self._notes = self._notes, {}
            counts, self._counts = self._counts, {}
            models, self._models = self._models, {}
        left = list(notes.items())
        try:
            while left or counts or models:
                self._send(left[:AT_ONCE], counts, models)
                left, counts, models = left[AT_ONCE:], {}, {}
        except BudgetUnavailableError as error:
            self._put_back(dict(left), counts, models)
            self._lane.submit_later(self._write, RETRY_SECONDS)
            if not self._has_failed:
                self._has_failed = True
                logger.error("Why calls are refused cannot be noted at the moment: {}", error)
        else:
            if self._has_failed:
                self._has_failed = False
                self._have_written()  # what came meanwhile waited for this

    def _send(
        self, notes: Sequence[tuple[str, Note]], counts: Mapping[str, int], models: Mapping[str, tuple[int, int]]
    ) -> None:
        ledger = self._ledger
        names = ledger.keys
        first = window_at(Period.DAY, from_ms(ledger.now()), ledger.config.time_zone).first_day - COUNTED
        keys = [
            names.refusal_batch(token_hex(8)),
            names.refusals,
            names.refusal_times,
            names.refusal_counts,
            names.unknown_models,
            names.unknown_model_times,
        ]
        args: list[str | int] = [
            ledger.injected_now(),
            round(ledger.config.refusal_ttl * 1000),
            self._kept,
            MODEL_DAYS * DAY_MS,
            MOST_MODELS,
            first.isoformat(),
            (COUNTED_DAYS + 1) * DAY_MS,
            f"{len(notes)} {len(counts)} {len(models)}",
        ]
        for reference, note in notes:
            args += (reference, note.at, note.text())
        for field, more in counts.items():
            args += (field, more)
        for name, (more, at) in models.items():
            args += (name, at, more)
        ledger.run(ledger.call("note_refusals", keys, args))

    def _put_back(self, notes: dict[str, Note], counts: Mapping[str, int], models: dict[str, tuple[int, int]]) -> None:
        """Keep what could not be written for the next try, as far as there is room beside what has come since."""
        with self._lock:
            for field, number in counts.items():
                self._count(field, number)
            for name, (times, at) in models.items():
                self._keep_model(name, times, at)
            for reference, note in notes.items():
                self._keep(reference, self._notes.get(reference, note))


def _told(text: str) -> str:
    """Return what strangers may have written in a length and form that can be stored: lone surrogates cannot."""
    return text[:MAX_ID_LENGTH].encode("utf-8", "replace").decode()


def _nothing() -> None:
    """Do nothing: it has no connections of its own."""
