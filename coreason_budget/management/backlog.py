"""How far the ledger's work has come: holds past their deadline, records not yet counted, the last entry drained."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ledger.steps import Command
from ..periods import from_ms

if TYPE_CHECKING:
    from datetime import datetime

    from ..ledger.redis import RedisLedger
    from ..ledger.steps import Operation

__all__ = ["count_uncounted", "last_drained", "overdue_holds", "server_now"]


def server_now(ledger: RedisLedger) -> Operation[int]:
    """Return the server's time in ms, or the one that a test injected."""
    injected = ledger.injected_now()
    if injected:
        return int(injected)
    seconds, micros = yield Command(("TIME",))
    return int(seconds) * 1000 + int(micros) // 1000


def overdue_holds(ledger: RedisLedger) -> Operation[tuple[int, float]]:
    """Return how many holds are past their deadline, and by how many seconds the first of them."""
    now = yield from server_now(ledger)
    overdue = int((yield Command(("ZCOUNT", ledger.keys.deadlines, "-inf", now))))
    if not overdue:
        return 0, 0.0
    first = yield Command(("ZRANGE", ledger.keys.deadlines, 0, 0))
    deadline = yield Command(("ZSCORE", ledger.keys.deadlines, *first))
    return overdue, (now - int(deadline or now)) / 1000


def count_uncounted() -> int:
    """Return how many records were written while Redis was down and are not told to it yet. One query."""
    from django.db import router

    from ..models import SpendRecord

    alias = router.db_for_write(SpendRecord)
    return SpendRecord.objects.using(alias).filter(journal_id__isnull=True).count()


def last_drained() -> datetime | None:
    """Return when (UTC) the newest entry of the journal was booked that the database has, None if it has none."""
    from ..ledger.records import highest_journal_id

    booked_at, _, _sequence = highest_journal_id().partition("-")
    return from_ms(int(booked_at)) if booked_at else None
