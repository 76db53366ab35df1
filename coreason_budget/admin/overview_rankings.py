"""``Ranking``: who spent most, beside each how the account stands now; what the others spent makes the sum complete."""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import TYPE_CHECKING, Final

from django.utils.formats import number_format
from django.utils.html import format_html
from django.utils.translation import gettext as _

from ..money import to_usd
from ..periods import Period
from ..scopes import Scope
from ..templatetags.bars import Bar, State, account_shown
from . import words

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django.utils.safestring import SafeString

    from ..results import AccountStatus
    from .overview_sums import Ranked, Summary

__all__ = ["MOST", "Ranking", "Row", "label_of", "ranking"]

#: So many are named.
MOST: Final = 10


@dataclass(frozen=True, slots=True)
class Row:
    """One of those who are named. ``link`` is where only this one is shown, empty where that cannot be asked for."""

    name: SafeString | str
    link: str
    amount: SafeString
    share: str
    width: str  # the share as a percentage of the longest bar
    records: str
    bar: Bar | None
    period: str


@dataclass(frozen=True, slots=True)
class Ranking:
    """The table of them."""

    name: str
    title: str
    head: str
    has_accounts: bool
    rows: Sequence[Row]
    others: SafeString | None
    total: SafeString


def ranking(
    found: Sequence[Ranked],
    whole: Summary,
    *,
    names: Mapping[str, SafeString | str],
    links: Mapping[str, str],
    accounts: Mapping[str, Sequence[AccountStatus]] | None = None,
    **texts: str,
) -> Ranking:
    """Return the table of what was found. ``accounts`` are by id, None where there are none to show."""
    rest = whole.nanos - sum(each.nanos for each in found)
    is_complete = sum(each.records for each in found) == whole.records
    places = words.fine_places([each.nanos for each in found] + [rest, whole.nanos])
    most = max((each.nanos for each in found), default=0)
    return Ranking(
        has_accounts=accounts is not None,
        rows=[
            Row(
                name=names[each.name],
                link=links.get(each.name, ""),
                amount=words.exact(to_usd(each.nanos), places),
                share=_share(each.nanos, whole.nanos),
                width=f"{Decimal(max(0, each.nanos)) * 100 / most:.2f}" if most > 0 else "0",
                records=words.number(each.records),
                bar=shown[0] if (shown := _account((accounts or {}).get(each.name, ()))) else None,
                period=shown[1] if shown else "",
            )
            for each in found
        ],
        others=None if is_complete else words.exact(to_usd(rest), places),
        total=words.exact(to_usd(whole.nanos), places),
        **texts,
    )


def label_of(name: str, nothing: str) -> SafeString:
    """Return a name as a page shows it; ``nothing`` where there is none."""
    return words.named(name) if name else format_html('<span class="budget-nobody">{}</span>', nothing)


def _share(part: int, whole: int) -> str:
    """Return a share in percent, as text; none of a sum that refunds have made nothing or less."""
    if whole <= 0 or part < 0:
        return words.NOTHING
    return _("%(percent)s %%") % {"percent": number_format(round(Decimal(part) * 100 / whole, 1), 1)}


def _account(accounts: Sequence[AccountStatus]) -> tuple[Bar, str] | None:
    """Return the account that stops its owner first, with its period."""
    for scope in (Scope.USER, Scope.PROJECT):
        account = account_shown(scope, None, accounts)
        if account is not None:
            period = Period(account.period)
            return Bar(scope, period, State.of(account), _("used"), account), words.per(account.period)
    return None
