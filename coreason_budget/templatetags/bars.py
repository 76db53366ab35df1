"""``Bar``: one account as a page shows it, and which account of a caller that is."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from django.utils.translation import gettext_lazy as _

from ..periods import Period
from ..scopes import Scope

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ..results import AccountStatus

__all__ = ["Bar", "State", "account_shown", "bar_of"]

_NEAR_PERCENT: Final = 80

_LABELS: Final = {
    (Scope.USER, None): _("Your budget"),
    (Scope.USER, Period.DAY): _("Your budget today"),
    (Scope.USER, Period.WEEK): _("Your budget this week"),
    (Scope.USER, Period.MONTH): _("Your budget this month"),
    (Scope.PROJECT, None): _("Project budget"),
    (Scope.PROJECT, Period.DAY): _("Project budget today"),
    (Scope.PROJECT, Period.WEEK): _("Project budget this week"),
    (Scope.PROJECT, Period.MONTH): _("Project budget this month"),
    (Scope.GLOBAL, None): _("Site budget"),
    (Scope.GLOBAL, Period.DAY): _("Site budget today"),
    (Scope.GLOBAL, Period.WEEK): _("Site budget this week"),
    (Scope.GLOBAL, Period.MONTH): _("Site budget this month"),
}


class State(StrEnum):
    """How much room an account has; ``near`` from 80 % on, ``over`` when nothing is left."""

    OK = "ok"
    NEAR = "near"
    OVER = "over"
    BLOCKED = "blocked"
    UNLIMITED = "unlimited"
    UNKNOWN = "unknown"

    @classmethod
    def of(cls, account: AccountStatus) -> State:
        """Return the state of an account."""
        if account.limit is None or account.remaining is None:
            return cls.UNLIMITED
        if account.limit == 0:
            return cls.BLOCKED
        if account.remaining == 0:
            return cls.OVER
        is_near = (account.limit - account.remaining) * 100 >= _NEAR_PERCENT * account.limit
        return cls.NEAR if is_near else cls.OK


@dataclass(frozen=True, slots=True)
class Bar:
    """What ``budget_bar.html`` shows. ``account`` is None if it has no limit or is not known."""

    scope: Scope
    period: Period | None
    state: State
    label: str
    account: AccountStatus | None

    @property
    def has_meter(self) -> bool:
        """Whether there is a limit to draw the use against."""
        return self.state in {State.OK, State.NEAR, State.OVER}

    @property
    def used(self) -> Decimal:
        """What is spent or set aside, in USD, from 0 to the limit."""
        if self.account is None or self.account.limit is None:
            return Decimal(0)
        return _clamped(self.account.spent + self.account.held, self.account.limit)

    @property
    def spent_percent(self) -> str:
        """How much of the limit is spent, from 0 to 100, as text for an attribute of SVG."""
        return self._percent(self.account.spent) if self.account else "0"

    @property
    def used_percent(self) -> str:
        """How much of the limit is spent or set aside. See spent_percent."""
        return self._percent(self.used)

    def _percent(self, amount: Decimal) -> str:
        if self.account is None or not self.account.limit:
            return "0"
        percent = _clamped(amount, self.account.limit) * 100 / self.account.limit
        return f"{percent.quantize(Decimal('0.01')):f}"


def bar_of(
    scope: Scope, period: Period | None, accounts: Sequence[AccountStatus] | None, label: str | None = None
) -> Bar:
    """Return the bar of a caller's account; ``accounts`` is None if they are not known."""
    account = account_shown(scope, period, accounts or ())
    if account is not None:
        period = Period(account.period)
    state = State.UNKNOWN if accounts is None else State.UNLIMITED if account is None else State.of(account)
    return Bar(scope, period, state, str(_LABELS[scope, period]) if label is None else label, account)


def account_shown(scope: Scope, period: Period | None, accounts: Iterable[AccountStatus]) -> AccountStatus | None:
    """
    Return the account of a scope and period, None if that is not limited.

    Without a period it is the one that stops the caller first: the least amount left, and where that is the same (two
    that are used up) the one that takes longest to reset. Without any limit it is the first.
    """
    candidates = [account for account in accounts if account.scope == scope and period in {None, account.period}]
    limited = [account for account in candidates if account.remaining is not None]
    first = candidates[0] if candidates else None
    return min(limited, key=_room, default=first)


def _room(account: AccountStatus) -> tuple[bool, Decimal | None, float]:
    return account.limit != 0, account.remaining, -account.resets_at.timestamp()


def _clamped(amount: Decimal, limit: Decimal) -> Decimal:
    return max(Decimal(0), min(amount, limit))  # refunds may exceed what was spent since, late charges the limit
