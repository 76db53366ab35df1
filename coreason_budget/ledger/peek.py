"""
How accounts stand, for looking at: any number of them in one round trip, and none is opened for it.

What Redis does not know is summed from the database, which lacks what still waits in the journal.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from ..periods import PERIODS, Period, Window, from_ms, window_at
from ..scopes import Scope, Subject
from .adjustments import adjusted
from .scripts import AccountView, PeriodView, parse_accounts
from .steps import Operation, Query

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from .redis import RedisLedger

__all__ = ["peek"]

Limits = dict[Period, int | None]


def peek(ledger: RedisLedger, subjects: tuple[Subject, ...]) -> Operation[dict[Subject, AccountView]]:
    """
    Return the accounts of subjects, open or not, with the limits that count now.

    Accounts that can be decided on cost no query; for the others of a scope there is one for limits and one for sums,
    and one for what was reset.
    Raise BudgetUnavailableError if Redis or the database does not answer.
    """
    deposit = ledger.deposit(subjects)
    reply = yield from ledger.ask("peek", deposit.keys, deposit.defaults)
    views = dict(zip(subjects, parse_accounts(reply[3::2]), strict=True))
    fresh = dict(zip(subjects, reply[2::2], strict=True))
    unsure = {subject: view for subject, view in views.items() if not view.is_complete or fresh[subject] != "1"}
    if unsure:
        views |= yield Query(lambda: _Completion(ledger, unsure, int(reply[1])).views())
    return views


@dataclass(frozen=True, slots=True)
class _Completion:
    """Fills in from the database what Redis did not know at an instant (ms). Runs where the database work is done."""

    ledger: RedisLedger
    unsure: Mapping[Subject, AccountView]
    now: int

    def views(self) -> dict[Subject, AccountView]:
        """Return the accounts in full."""
        overrides = self.ledger.limits.overrides_of(self.unsure)
        limits = {subject: self._limits(subject, overrides[subject]) for subject in self.unsure}
        unknown = {subject: limits[subject].keys() - _known(view).keys() for subject, view in self.unsure.items()}
        sums = self._sums({subject: periods for subject, periods in unknown.items() if periods})
        return {
            subject: replace(view, periods=tuple(self._periods(_known(view), limits[subject], sums.get(subject, {}))))
            for subject, view in self.unsure.items()
        }

    def _limits(self, subject: Subject, overrides: Mapping[Period, int | None]) -> Limits:
        defaults = {
            period: limit for period, limit in self.ledger.limits.defaults(subject).items() if limit is not None
        }
        return {**defaults, **overrides}

    def _sums(self, unknown: Mapping[Subject, Iterable[Period]]) -> dict[Subject, dict[Period, int]]:
        from .records import adjustments, totals

        if not unknown:
            return {}
        sums: dict[Subject, dict[Period, int]] = {}
        for scope in Scope:
            subjects = [subject for subject in unknown if subject.scope is scope]
            if subjects:
                periods = {period for subject in subjects for period in unknown[subject]}
                sums |= totals(subjects, {period: self._window(period) for period in periods})
        windows = {period: self._window(period) for periods in unknown.values() for period in periods}
        resets = adjustments(windows)
        for subject, spent in sums.items():
            for period, nanos in adjusted(resets, subject, windows).items():
                if period in spent:
                    spent[period] += nanos
        return sums

    def _periods(
        self, known: Mapping[Period, PeriodView], limits: Limits, sums: Mapping[Period, int]
    ) -> Iterable[PeriodView]:
        for period in PERIODS:
            if period in known and period in limits:
                yield replace(known[period], limit=limits[period])
            elif period in limits:
                yield PeriodView(period, self._window(period).id, sums.get(period, 0), limits[period])

    def _window(self, period: Period) -> Window:
        return window_at(period, from_ms(self.now), self.ledger.config.time_zone)


def _known(view: AccountView) -> dict[Period, PeriodView]:
    return {period.period: period for period in view.periods if view.open and period.verified}
