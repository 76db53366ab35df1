"""How things stand at this moment: the site's accounts, the calls in flight, and whether the ledger is well."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Final

from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .. import service
from ..exceptions import BudgetError
from ..ledger.adjustments import adjusted
from ..ledger.records import adjustments
from ..management.doctor import examine
from ..management.finding import Level
from ..management.holds import OpenHolds, open_holds
from ..money import to_nanos, to_usd
from ..periods import Period
from ..refusals.store import Counts, counts
from ..scopes import GLOBAL, Scope, Subject
from ..templatetags.bars import Bar, State
from . import words
from .overview_refused import Refused, refused

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime

    from django.utils.safestring import SafeString

    from ..management.finding import Finding
    from ..periods import Window
    from ..results import AccountStatus
    from .overview_sums import Amounts

__all__ = ["Health", "Live", "Tile", "health", "live", "tiles"]

HOLDS_SHOWN: Final = 10


@dataclass(frozen=True, slots=True)
class Live:
    """What Redis said: accounts, holds, refused calls. ``problem`` says why it said nothing, if it is so."""

    accounts: Mapping[Subject, Sequence[AccountStatus]] = field(default_factory=dict)
    holds: OpenHolds | None = None
    refused: Counts | None = None
    problem: str = ""

    def of(self, scope: Scope, ids: Iterable[str]) -> dict[str, Sequence[AccountStatus]]:
        """Return the accounts of a scope by their ids."""
        return {each: self.accounts.get(Subject(scope, each), ()) for each in ids}


@dataclass(frozen=True, slots=True)
class Health:
    """What was found of server, ledger and database, and the worst of it."""

    findings: Sequence[Finding]

    @property
    def worst(self) -> Level:
        """How bad it is."""
        order = list(Level)
        return max((finding.level for finding in self.findings), key=order.index, default=Level.OK)

    @property
    def has_redis(self) -> bool:
        """Whether it makes sense to ask Redis anything: what is down need not be waited for again."""
        failed = {finding.check for finding in self.findings if finding.level is Level.ERROR}
        return not failed & {"redis", "settings"}

    @property
    def verdict(self) -> str:
        """The findings in a few words."""
        bad = [finding for finding in self.findings if finding.level in {Level.WARNING, Level.ERROR}]
        if not bad:
            return _("All is well")
        return ngettext("%(count)s finding wants a look", "%(count)s findings want a look", len(bad)) % {
            "count": words.number(len(bad))
        }


@dataclass(frozen=True, slots=True)
class Tile:
    """What the whole site has spent in a period, of which limit."""

    period: Period
    title: str
    spent: SafeString
    bar: Bar | None
    remaining: SafeString | None
    apart: str  # where the ledger and the records do not say the same, why
    refused: Refused | None
    resets: datetime


def health() -> Health:
    """Return what ``budget_doctor`` finds."""
    return Health(examine(service.manager()))


def live(subjects: Iterable[Subject], first: date) -> Live:
    """
    Return how accounts stand, what is held, and what was refused from a day on.

    A round trip for all accounts, one for each hold that is shown, and one for what was refused.
    """
    try:
        budget = service.manager()
        accounts = budget.drive(budget.guard.peek((GLOBAL, *subjects)))
        holds = budget.drive(open_holds(budget.ledger, HOLDS_SHOWN))
        return Live(accounts, holds, budget.drive(counts(budget.ledger, first)))
    except BudgetError as error:
        return Live(problem=str(error))


def tiles(sums: Mapping[Period, Amounts], windows: Mapping[Period, Window], live: Live) -> list[Tile]:
    """Return the site's spend of today, this week and this month, each against its limit if it has one."""
    titles = {Period.DAY: _("Today"), Period.WEEK: _("This week"), Period.MONTH: _("This month")}
    by_period = {Period(account.period): account for account in live.accounts.get(GLOBAL, ())}
    places = words.fine_places([each.total for each in sums.values()])
    resets, made = adjusted(adjustments(windows), GLOBAL, windows), []
    for period, title in titles.items():
        account, nanos = by_period.get(period), sums[period].total
        left = account.remaining if account else None
        made.append(
            Tile(
                period=period,
                title=title,
                spent=words.exact(to_usd(nanos), places),
                bar=Bar(Scope.GLOBAL, period, State.of(account), title, account) if account else None,
                remaining=None if left is None else words.figure(left, "down"),
                apart=_apart(to_nanos(account.spent, signed=True) - nanos, resets[period]) if account else "",
                refused=refused(live.refused, windows[period].first_day, windows[Period.DAY].first_day),
                resets=windows[period].end,
            )
        )
    return made


def since(seconds: float | None) -> str:
    """Return for how long something has been so: ``4:05 min``, ``2:10:30 h``."""
    if seconds is None:
        return words.NOTHING
    whole = max(0, round(seconds))
    hours, minutes = divmod(whole // 60, 60)
    if hours:
        return _("%(hours)s:%(minutes)02d h") % {"hours": words.number(hours), "minutes": minutes}
    return _("%(minutes)d:%(seconds)02d min") % {"minutes": minutes, "seconds": whole % 60}


def ends_at(seconds: float) -> datetime:
    """Return the instant that is so many seconds away."""
    return timezone.now() + timedelta(seconds=seconds)


def _apart(nanos: int, reset: int) -> str:
    """Return why the ledger counts so much more (nano-USD) than the records: what of it was reset, and all else."""
    told, nanos = [], nanos - reset
    if reset:
        said = _("%(amount)s of it was reset: it counts no more against the limit.")
        told.append(said % {"amount": words.usd(to_usd(-reset))})
    if nanos > 0:
        told.append(_("%(amount)s more is on its way to the records.") % {"amount": words.usd(to_usd(nanos))})
    if nanos < 0:
        told.append(_("The ledger has %(amount)s of this still to count.") % {"amount": words.usd(to_usd(-nanos))})
    return " ".join(told)
