"""``Alert``: what a mail is about. Amounts are USD, instants are aware."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from ..scopes import Scope, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime
    from decimal import Decimal

    from ..exceptions import BudgetExceededError
    from ..results import AccountStatus

__all__ = ["Alert"]


@dataclass(frozen=True, slots=True)
class Alert:
    """
    An account that passed a threshold, or that refused a call for the first time in its window.

    ``percent`` is the threshold, None for a refusal; ``requested`` what a refused call asked for, None for a threshold.
    """

    kind: Literal["threshold", "refusal"]
    subject: Subject
    period: str
    limit: Decimal
    spent: Decimal
    held: Decimal
    resets_at: datetime
    percent: int | None = None
    requested: Decimal | None = None

    @classmethod
    def of_threshold(cls, percent: int, status: AccountStatus) -> Alert | None:
        """Return the alert of a passed threshold; None if its account has no limit by now."""
        if status.limit is None:
            return None
        subject = Subject(Scope(status.scope), status.subject)
        return cls(
            "threshold",
            subject,
            status.period,
            limit=status.limit,
            spent=status.spent,
            held=status.held,
            resets_at=status.resets_at,
            percent=percent,
        )

    @classmethod
    def all_of(cls, status: AccountStatus, thresholds: Iterable[int]) -> tuple[Alert, ...]:
        """Return all alerts that there can be of an account in its window; none if it has no limit."""
        first = cls.of_threshold(0, status)
        if first is None:
            return ()
        return (replace(first, kind="refusal", percent=None), *(replace(first, percent=each) for each in thresholds))

    @classmethod
    def of_refusal(cls, error: BudgetExceededError) -> Alert:
        """Return the alert of a refused call."""
        return cls(
            "refusal",
            Subject(Scope(error.scope), error.subject),
            error.period,
            limit=error.limit,
            spent=error.spent,
            held=error.held,
            resets_at=error.resets_at,
            requested=error.requested,
        )

    @property
    def name(self) -> str:
        """The same for the same threshold, or refusals, of the same account and window: what is told once."""
        parts = (self.kind, self.subject.key, self.period, self.resets_at.isoformat(), str(self.percent))
        return hashlib.sha256("|".join(parts).encode()).hexdigest()[:32]
