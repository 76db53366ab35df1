"""Work of the ledger that waits beside the journal's entries: holds past their deadline, records not yet counted."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..ledger.steps import Command

if TYPE_CHECKING:
    from ..ledger.redis import RedisLedger
    from ..ledger.steps import Operation

__all__ = ["count_uncounted", "overdue_holds", "server_now"]


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
