"""The values that budget operations answer with. Amounts are USD (``Decimal``), instants are aware."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime
    from decimal import Decimal

__all__ = ["AccountStatus", "Receipt"]


@dataclass(frozen=True, slots=True)
class AccountStatus:
    """
    What one subject has spent of one limit, in the window that is current.

    ``limit`` and ``remaining`` are None where there is no limit; ``remaining`` is never negative. ``subject`` is empty
    for the global scope and for visitors who are not logged in.
    """

    scope: str
    subject: str
    period: str
    limit: Decimal | None
    spent: Decimal
    held: Decimal
    remaining: Decimal | None
    resets_at: datetime


@dataclass(frozen=True)
class Receipt:
    """
    The answer to a charge, or to a refund, whose cost is negative.

    ``first`` is False if this charge id had been booked before; nothing was booked again then. ``counted`` is False if
    the ledger did not answer and the charge went straight to the database.
    """

    charge_id: str
    cost: Decimal
    first: bool = True
    counted: bool = True
    show: Callable[[], tuple[AccountStatus, ...]] = field(default=tuple, repr=False, compare=False)

    @cached_property
    def status(self) -> tuple[AccountStatus, ...]:
        """The accounts as they were after the charge; empty if the ledger did not answer. Worked out when asked for."""
        return self.show()
