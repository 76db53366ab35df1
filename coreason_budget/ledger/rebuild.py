"""
Making an account of what the database and the journal say was spent: one that Redis has lost, or to prove one.

The journal is read before the rows are summed: a charge that moves from one to the other meanwhile is counted once.
"""

from __future__ import annotations

from dataclasses import dataclass
from time import monotonic
from typing import TYPE_CHECKING, Final
from uuid import uuid4

from ..exceptions import BudgetUnavailableError
from ..log import logger
from ..periods import PERIODS, Period, Window, to_ms, window_named
from .adjustments import Adjustment, adjusted
from .scripts import Booking, Snapshot, defaults_text, overrides_args
from .steps import Operation, Pause, Query

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..scopes import Subject
    from .redis import RedisLedger

__all__ = ["Drift", "rebuild", "spent_with"]

MERGED_AT_MOST: Final = 5_000
REBUILD_SECONDS: Final = 30.0
COURTESY_SECONDS: Final = 0.5
PAUSE_SECONDS: Final = 0.05
LONGEST_HOLD_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Drift:
    """What a rebuild did: nothing, or by how much (nano-USD by period) a verified account had been wrong."""

    rebuilt: bool
    corrections: Mapping[Period, int]


@dataclass(frozen=True, slots=True)
class Sum:
    """
    What the database and the journal say: limits, what was spent (nano-USD) in each period that is wanted.

    It ``goes_on`` if more was spent after these windows, by a clock that was ahead of the server's.
    """

    overrides: Mapping[Period, int | None]
    spent: Mapping[Period, int]
    goes_on: bool


def rebuild(ledger: RedisLedger, subject: Subject, mode: str, every: float) -> Operation[Drift]:
    """
    Open an account (mode ``open``), or prove an open one (``verify``) unless that was done within ``every`` seconds.

    Others may rebuild it at the same time and traffic goes on; the first to end wins.
    Raise BudgetUnavailableError if Redis or the database does not answer.
    """
    from .records import highest_journal_id

    waited, deadline = 0.0, monotonic() + REBUILD_SECONDS
    while monotonic() < deadline:
        floor = yield Query(highest_journal_id)
        nonce = uuid4().hex
        reply = yield from ledger.ask(
            "rebuild_begin",
            [ledger.keys.account(subject), ledger.keys.journal],
            nonce,
            floor,
            "force" if mode == "open" and waited >= COURTESY_SECONDS else mode,
            round(every * 1000),
            defaults_text(ledger.limits.defaults(subject)),
        )
        if reply[0] in {"done", "fresh"}:
            return Drift(rebuilt=False, corrections={})
        if reply[0] == "wait":
            yield Pause(PAUSE_SECONDS)
            waited += PAUSE_SECONDS
            continue
        corrections = yield from _finish(ledger, subject, nonce, Snapshot.parse(reply))
        if corrections is not None:
            return Drift(rebuilt=True, corrections=corrections)
    raise BudgetUnavailableError(f"The account of {subject.label} could not be rebuilt in {REBUILD_SECONDS:g} s.")


def spent_with(
    ledger: RedisLedger, subject: Subject, charge_id: str, place: str, windows: Mapping[Period, Window]
) -> Operation[dict[Period, int]]:
    """
    Return what a subject had spent in windows (nano-USD) once a charge had come to its place in the journal.

    Nothing if that charge is not the one of its id that counts. Raise BudgetUnavailableError if Redis or the database
    does not answer.
    """
    from .records import place_of

    merged = yield from ledger.journal.bookings_of(subject, place, MERGED_AT_MOST)
    if charge_id in merged and merged[charge_id].journal_id != place:
        return {}

    def work() -> dict[Period, int]:
        if place_of(charge_id) not in {None, place}:
            return {}
        return _spent(subject, place, windows, merged)[0]

    sums: dict[Period, int] = yield Query(work)
    return sums


def _finish(
    ledger: RedisLedger, subject: Subject, nonce: str, snapshot: Snapshot
) -> Operation[dict[Period, int] | None]:
    """Sum, correct and open; None means start over."""
    merged = yield from ledger.journal.bookings_of(subject, snapshot.point, MERGED_AT_MOST)
    if len(merged) > MERGED_AT_MOST:
        yield from ledger.journal.drain(until=snapshot.point)
        return None
    summed: Sum = yield Query(lambda: _sum(ledger, subject, snapshot, merged))
    pairs: list[str] = []
    for period in PERIODS:
        correction = str(summed.spent[period] - snapshot.spent[period]) if period in summed.spent else ""
        pairs += [snapshot.windows[period], correction]
    reply = yield from ledger.ask(
        "rebuild_end",
        [ledger.keys.account(subject)],
        nonce,
        snapshot.incarnation,
        snapshot.verdicts,
        snapshot.version,
        2 * LONGEST_HOLD_MS,
        *overrides_args(summed.overrides),
        *pairs,
        defaults_text(ledger.limits.defaults(subject)),
        "1" if summed.goes_on else "",
    )
    if reply[0] != "done":
        return None
    drift = {period: int(text) for period, text in zip(PERIODS, reply[1:], strict=True) if int(text)}
    if drift:
        logger.warning("The account of {} was corrected by {} nano-USD", subject.label, drift)
    return drift


def _sum(ledger: RedisLedger, subject: Subject, snapshot: Snapshot, merged: Mapping[str, Booking]) -> Sum:
    overrides = ledger.limits.overrides(subject)
    defaults = ledger.limits.defaults(subject)
    wanted = {
        period: window_named(period, snapshot.windows[period], ledger.config.time_zone)
        for period in PERIODS
        if period in overrides or defaults.get(period) is not None or period in snapshot.verified
    }
    sums, last = _spent(subject, snapshot.point, wanted, merged)
    return Sum(overrides, sums, any(to_ms(window.end) <= last for window in wanted.values()))


def _spent(
    subject: Subject, point: str, windows: Mapping[Period, Window], merged: Mapping[str, Booking]
) -> tuple[dict[Period, int], int]:
    """Return what records up to a point of the journal and the journal up to there make, and the last instant (ms)."""
    from .records import total

    sums, last = total(subject, windows, point, merged)
    for booking in merged.values():
        last = max(last, booking.at)
        for period, window in windows.items():
            if _falls_into(booking.at, window):
                sums[period] += booking.charge.cost
    waiting = filter(None, (Adjustment.of(booking.charge) for booking in merged.values()))
    for period, nanos in adjusted(waiting, subject, windows).items():
        sums[period] += nanos
    return sums, last


def _falls_into(at: int, window: Window) -> bool:
    return to_ms(window.start) <= at < to_ms(window.end)
