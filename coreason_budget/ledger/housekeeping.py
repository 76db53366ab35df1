"""
The work nobody asked for: draining orphans, sweeping dead holds, telling of uncounted records, verifying accounts.

It runs on the ledger's writing thread, at most every few seconds, and only when there has been traffic.
"""

from __future__ import annotations

from math import inf
from time import monotonic
from typing import TYPE_CHECKING, Final

from ..exceptions import BudgetUnavailableError
from ..log import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from ..scopes import Subject
    from .redis import RedisLedger
    from .scripts import Booking

__all__ = ["Housekeeper"]

TICK_SECONDS: Final = 3.0
REMEMBERED_SUBJECTS: Final = 10_000
VERIFIED_PER_TICK: Final = 20


class Housekeeper:
    """Keeps one ledger's house. ``on_swept`` is told what was booked for dead holds."""

    def __init__(
        self,
        ledger: RedisLedger,
        on_swept: Callable[[Booking], None],
        *,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._ledger = ledger
        self._on_swept = on_swept
        self._clock = clock
        self._next_tick = clock() + TICK_SECONDS
        self._seen: dict[Subject, float] = {}

    def nudge(self, subjects: Iterable[Subject]) -> None:
        """Note which accounts are in use, and keep house on the ledger's thread if it is time to. Never blocks."""
        now = self._clock()
        for subject in subjects:
            if subject not in self._seen and len(self._seen) < REMEMBERED_SUBJECTS:
                self._seen[subject] = now
        if now < self._next_tick:
            return
        self._next_tick = inf  # until the tick has been done; without a lock, which a fork could leave locked
        if self._ledger.database.is_inline() or not self._ledger.database.post(self.tick):
            self._next_tick = now + TICK_SECONDS

    def hurry(self) -> None:
        """Keep house at the next nudge: something waits for it."""
        self._next_tick = min(self._next_tick, self._clock())

    def tick(self) -> None:
        """Keep house once, on this thread. Each part goes on where another fails; failures are logged."""
        for part in (self._write, self._drain, self._sweep, self._tell, self._verify):
            try:
                part()
            except BudgetUnavailableError as error:
                logger.warning("Housekeeping ({}) could not be done: {}", part.__name__.strip("_"), error)
            except Exception as error:  # noqa: BLE001  # the other parts keep charges from being lost
                logger.opt(exception=error).error("Housekeeping ({}) failed", part.__name__.strip("_"))
        self._next_tick = self._clock() + TICK_SECONDS

    def _write(self) -> None:
        self._ledger.database.call(self._ledger.journal.write_pending)

    def _drain(self) -> None:
        self._ledger.run(self._ledger.journal.drain(self._ledger.config.drain_after))

    def _sweep(self) -> None:
        for booking in self._ledger.run(self._ledger.journal.sweep()):
            self._on_swept(booking)

    def _tell(self) -> None:
        self._ledger.run(self._ledger.journal.tell())

    def _verify(self) -> None:
        due = self._clock() - self._ledger.config.verify_every
        subjects = [subject for subject, seen in self._seen.copy().items() if seen <= due]
        for subject in subjects[:VERIFIED_PER_TICK]:
            self._ledger.run(self._ledger.rebuild(subject, "verify"))
            self._seen.pop(subject, None)
