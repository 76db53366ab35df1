"""The errors that this app raises. Nothing here imports anything of the app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

__all__ = [
    "BudgetConfigurationError",
    "BudgetError",
    "BudgetExceededError",
    "BudgetUnavailableError",
    "ChargeConflictError",
    "HoldClosedError",
    "MissingUserError",
    "RedisConnectionError",
    "RefundError",
    "ResetError",
    "RunExhaustedError",
    "StreamConsumedError",
    "UnknownModelError",
]


class BudgetError(Exception):
    """Base of every error that a budget operation raises on purpose."""


class BudgetConfigurationError(BudgetError, ValueError):
    """A setting has a value that cannot be used; the message names it and the remedy."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a call was refused: the account and window that had no room. Amounts are USD."""

    scope: str
    subject: str
    period: str
    limit: Decimal
    spent: Decimal
    held: Decimal
    requested: Decimal
    resets_at: datetime
    retry_after: int | None
    first: bool = False
    reference: str = ""


class BudgetExceededError(BudgetError):
    """
    The call does not fit the budget of one of its accounts.

    Amounts are USD, ``retry_after`` is in seconds. It is None where waiting does not help: the limit is 0.
    ``first`` is True for the first refusal of that account in that window, over all processes. By its ``reference``
    administrators find the decision; it is empty where none is kept.
    """

    def __init__(self, refusal: Refusal) -> None:
        self.scope = refusal.scope
        self.subject = refusal.subject
        self.period = refusal.period
        self.limit = refusal.limit
        self.spent = refusal.spent
        self.held = refusal.held
        self.requested = refusal.requested
        self.resets_at = refusal.resets_at
        self.retry_after = refusal.retry_after
        self.first = refusal.first
        self.reference = refusal.reference
        self._refusal = refusal
        super().__init__(self._message())

    def __reduce__(self) -> tuple[type[BudgetExceededError], tuple[Refusal]]:
        return type(self), (self._refusal,)

    @property
    def remaining(self) -> Decimal:
        """What is left in the window after what is spent and held, in USD; never negative, nothing of a limit of 0."""
        nothing = type(self.limit)(0)
        return max(self.limit - self.spent - self.held, nothing) if self.limit else nothing

    def _message(self) -> str:
        whose = f"{self.scope} {self.subject!r}" if self.subject else self.scope
        if not self.limit:
            return f"The budget of {whose} is blocked: its limit per {self.period} is 0 USD."
        return (
            f"The budget of {whose} per {self.period} is used up: limit {self.limit:f} USD, spent {self.spent:f}, "
            f"held {self.held:f}, asked for {self.requested:f}. It resets at {self.resets_at.isoformat()}."
        )


class RunExhaustedError(BudgetExceededError):
    """
    A run has used up the amount that it was given and is not to ask for more.

    ``scope`` and ``period`` are "run", ``limit`` is its amount. Waiting does not help: ``retry_after`` is None.
    """

    def _message(self) -> str:
        return (
            f"The run has used up its amount of {self.limit:f} USD: spent {self.spent:f}, held {self.held:f}, "
            f"{self.requested:f} more is needed. Give it a larger amount, or on_exhausted='extend'."
        )


class BudgetUnavailableError(BudgetError):
    """The budget cannot be checked (Redis or the database does not answer), so the call must not happen."""

    retry_after = 5


RedisConnectionError = BudgetUnavailableError


class UnknownModelError(BudgetError, ValueError):
    """No price is known for this ``model`` (empty if none was named), so a call of it cannot be budgeted."""

    def __init__(self, message: str = "", model: str = "") -> None:
        super().__init__(message)
        self.model = model


class ChargeConflictError(BudgetError, ValueError):
    """A charge id or hold id was used before with another amount or for other accounts."""


class RefundError(BudgetError, ValueError):
    """A charge cannot be refunded: unknown, no charge, refunded before, or not that much of it is left."""


class ResetError(BudgetError, ValueError):
    """A window cannot be reset: another one runs, it was reset meanwhile, not that much counts, or no limit."""


class HoldClosedError(BudgetError, ValueError):
    """The hold was released, charged as final or has expired, so it cannot be extended or reserved again."""


class MissingUserError(BudgetError, LookupError):
    """
    Nobody is named or known who pays for a call.

    No TypeError: in an async streamed answer Django takes one of those for a sync iterator, and hides it.
    """


class StreamConsumedError(BudgetError, RuntimeError):
    """A stream was to be read again after its end."""
