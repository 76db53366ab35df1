"""What the ledger's operations come to. Amounts are nano-USD, instants are milliseconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from .scripts import Answer, Booking, Charge, parse_accounts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..exceptions import BudgetUnavailableError
    from ..periods import Period
    from ..scopes import Subject
    from .scripts import AccountView

__all__ = ["Charged", "Granted", "Refused", "Released", "bookings_of"]


@dataclass(frozen=True, slots=True)
class Granted:
    """The hold is there until its deadline (ms); so much (nano-USD) was held for this call."""

    deadline: int
    amount: int


@dataclass(frozen=True, slots=True)
class Refused:
    """There is no room: where, and how it stood (nano-USD; ``now`` in ms)."""

    subject: Subject
    period: Period
    window: str
    spent: int
    held: int
    limit: int
    first: bool
    now: int


@dataclass(frozen=True, slots=True)
class Charged:
    """A charge was accepted. ``answer`` is None if it went straight to the database."""

    answer: Answer | None
    first: bool
    error: BudgetUnavailableError | None = None


@dataclass(frozen=True, slots=True)
class Released:
    """A hold has ended, by this call (``now``) or before. ``accounts`` reads how they stand, if that is wanted."""

    now: bool
    shown: Sequence[str] = ()

    def accounts(self) -> tuple[AccountView, ...]:
        """Return the accounts as the script showed them."""
        return parse_accounts(self.shown)


def bookings_of(charge: Charge, answer: Answer) -> list[Booking]:
    """Return what a charge booked: itself, after what it gave back of a hold that had expired."""
    bookings = [Booking(charge, answer.journal_id, answer.at)]
    if answer.refunded:
        refund = replace(
            charge,
            charge_id=f"{charge.charge_id}~refund",
            cost=-answer.refunded,
            kind="refund",
            input_tokens=None,
            output_tokens=None,
        )
        bookings.insert(0, Booking(refund, answer.refund_journal_id, answer.at))
    return bookings
