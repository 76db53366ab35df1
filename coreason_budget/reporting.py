"""
What the guard says: ``AccountStatus`` for its answers, the errors of refusals, signals and log records.

It decides nothing. Its operations only send signals, so they end whatever the stores do.
"""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from . import signals
from .exceptions import BudgetExceededError, Refusal
from .ledger.steps import Emit, Operation
from .log import debug_is_on, logger
from .money import to_usd
from .periods import from_ms, window_named
from .results import AccountStatus

if TYPE_CHECKING:
    from collections.abc import Mapping
    from zoneinfo import ZoneInfo

    from .exceptions import BudgetUnavailableError
    from .ledger.outcomes import Refused
    from .ledger.resets import Reset
    from .ledger.scripts import AccountView, Charge, PeriodView
    from .results import Receipt
    from .scopes import Subject

__all__ = ["Reporter"]

_SECOND: Final = timedelta(seconds=1)


class Reporter:
    """Tells people and receivers of signals, in USD and in a time zone, what happened to accounts."""

    def __init__(self, zone: ZoneInfo, sender: type) -> None:
        self._zone = zone
        self._sender = sender

    def statuses(self, subjects: tuple[Subject, ...], views: tuple[AccountView, ...]) -> tuple[AccountStatus, ...]:
        """Return how accounts stand in each of their periods; nothing for those that nobody saw."""
        return tuple(
            self._status(subject, view, period)
            for subject, view in zip(subjects, views, strict=False)
            for period in view.periods
        )

    def refused(self, refused: Refused, amount: int, reference: str) -> Operation[BudgetExceededError]:
        """Tell of a refusal of an amount (nano-USD) and return its error."""
        exceeded = BudgetExceededError(self._refusal(refused, amount, reference))
        logger.info("Refused: {} Reference: {}.", exceeded, reference or "none is kept")
        yield Emit(signals.budget_exceeded, self._sender, {"error": exceeded, "first": exceeded.first})
        return exceeded

    def charged(
        self, charge: Charge, receipt: Receipt, subjects: tuple[Subject, ...], views: tuple[AccountView, ...]
    ) -> Operation[None]:
        """Tell of a charge, and of the thresholds that its accounts passed."""
        if debug_is_on():
            logger.debug("Charged {} nano-USD to {} ({})", charge.cost, charge.user_id or "anonymous", charge.charge_id)
        yield from self._recorded(charge, receipt)
        for subject, view in zip(subjects, views, strict=False):  # no views if Redis did not answer
            for period in view.periods:
                for percent in period.crossed:
                    status = self._status(subject, view, period)
                    logger.info("{} reached {} % of its limit per {}", subject.label, percent, status.period)
                    values = {"threshold": percent, "status": status}
                    yield Emit(signals.budget_threshold_reached, self._sender, values)

    def refunded(self, charge: Charge, receipt: Receipt) -> Operation[None]:
        """Tell of a refund; its cost is negative."""
        logger.info("Refunded {} nano-USD: {}", -charge.cost, charge.metadata)
        yield from self._recorded(charge, receipt)

    def was_reset(self, wanted: Reset) -> None:
        """Log that less counts in a window; nothing was spent or given back, so no signal is sent."""
        logger.info("Reset by {} nano-USD: {} {}", wanted.adjustment.nanos, wanted.adjustment, dict(wanted.note))

    def swept(self, charge: Charge, receipt: Receipt) -> Operation[None]:
        """Tell that a hold was booked in full because nobody settled it."""
        logger.info("A hold was not settled in time and is booked in full: {}", charge)
        yield from self._recorded(charge, receipt)

    def unavailable(self, error: BudgetUnavailableError, operation: str) -> Operation[None]:
        """Tell that an operation was not possible."""
        logger.error("The budget is unavailable ({}): {}", operation, error)
        yield Emit(signals.budget_unavailable, self._sender, {"error": error, "operation": operation})

    def _recorded(self, charge: Charge, receipt: Receipt) -> Operation[None]:
        who: Mapping[str, Any] = {
            "receipt": receipt,
            "user_id": charge.user_id,
            "project_id": charge.project_id or None,
            "model": charge.model or None,
        }
        yield Emit(signals.spend_recorded, self._sender, who)

    def _status(self, subject: Subject, view: AccountView, period: PeriodView) -> AccountStatus:
        remaining = None if period.limit is None else _left(period.limit, period.spent + view.held)
        return AccountStatus(
            scope=subject.scope.value,
            subject=subject.id,
            period=period.period.value,
            limit=None if period.limit is None else to_usd(period.limit),
            spent=to_usd(period.spent),
            held=to_usd(view.held),
            remaining=None if remaining is None else to_usd(remaining),
            resets_at=window_named(period.period, period.window, self._zone).end,
        )

    def _refusal(self, refused: Refused, amount: int, reference: str) -> Refusal:
        window = window_named(refused.period, refused.window, self._zone)
        wait = window.end - from_ms(refused.now)
        return Refusal(
            scope=refused.subject.scope.value,
            subject=refused.subject.id,
            period=refused.period.value,
            limit=to_usd(refused.limit),
            spent=to_usd(refused.spent),
            held=to_usd(refused.held),
            requested=to_usd(amount),
            resets_at=window.end,
            retry_after=None if refused.limit == 0 else max(1, -(-wait // _SECOND)),
            first=refused.first,
            reference=reference,
        )


def _left(limit: int, used: int) -> int:
    """Return what is left of a limit; nothing of one that blocks, even if refunds came to more than was spent."""
    return max(0, limit - used) if limit else 0
