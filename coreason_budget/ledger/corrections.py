"""What refunds and resets have in common: they are made by hand and waited for, and the database keeps each once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..exceptions import BudgetUnavailableError
from .steps import Operation, Query, Write

if TYPE_CHECKING:
    from .redis import RedisLedger
    from .scripts import Booking

__all__ = ["ORPHANED_SECONDS", "keep"]

#: Entries of the journal that are older are nobody's work in hand any more. A correction may be among them whose id
#: Redis has forgotten (after CHARGE_ID_TTL, a minute at least).
ORPHANED_SECONDS: Final = 5.0


def keep(ledger: RedisLedger, booking: Booking) -> Operation[bool]:
    """
    Write a booking that the journal has, and return whether it is the one that the database keeps under its id.

    If not, Redis had forgotten the other one; it has put the accounts in doubt by then, and they are summed anew. While
    the database does not answer the journal has the booking, and it counts as kept.
    """
    from .records import is_kept

    def write() -> bool:
        ledger.journal.write([booking])
        return is_kept(booking)

    try:
        kept: bool = yield Query(write)
    except BudgetUnavailableError:
        yield Write(ledger.journal.writer([booking]))
        return True
    return kept
