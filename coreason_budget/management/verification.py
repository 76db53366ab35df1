"""``last_verification``: when an account was last proved against the database, and by how much it had been wrong."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ledger.steps import Command
from ..periods import PERIODS, Period
from ..scopes import GLOBAL
from .backlog import server_now

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ..ledger.redis import RedisLedger
    from ..ledger.steps import Operation
    from ..scopes import Subject

__all__ = ["Verification", "last_verification"]


@dataclass(frozen=True, slots=True)
class Verification:
    """How long ago it was (seconds), and by how much each period was corrected (nano-USD)."""

    age: float
    corrections: Mapping[Period, int]


def last_verification(ledger: RedisLedger, subject: Subject = GLOBAL) -> Operation[Verification | None]:
    """Return what is known of the last one, None if the server knows of none. Raise BudgetUnavailableError."""
    at, drift = yield Command(("HMGET", ledger.keys.account(subject), "v", "vd"))
    if not at:
        return None
    now = yield from server_now(ledger)
    text = drift.decode() if isinstance(drift, bytes) else drift or "0,0,0"
    corrections = dict(zip(PERIODS, map(int, text.split(",")), strict=True))
    return Verification(max(0.0, (now - int(at)) / 1000), corrections)
