"""How limits, instants and names read on the admin's pages. Nothing here is specific to one page."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from itertools import takewhile
from typing import TYPE_CHECKING, Final

from django.utils import formats, timezone
from django.utils.html import format_html
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

from ..scopes import Scope
from ..templatetags.amounts import per, plain, usd

if TYPE_CHECKING:
    from collections.abc import Collection

    from django.utils.safestring import SafeString

    from ..models import BudgetLimit
    from ..templatetags.amounts import Rounding

__all__ = [
    "NOTHING",
    "exact",
    "figure",
    "fine_places",
    "instant",
    "limit",
    "moment",
    "name",
    "named",
    "number",
    "per",
    "usd",
    "value",
    "whose",
]

NOTHING: Final = "\N{EN DASH}"

_CENTS: Final = 2
_FINEST: Final = 7  # digits of a nano-dollar below the cent

#: Characters that turn the direction of the text around them, and are themselves not seen.
_TURNING: Final = {
    code: f"⟨U+{code:04X}⟩" for code in (0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
}


def limit(amount: Decimal | None) -> str:
    """Return a limit in words: an amount, ``unlimited`` or ``blocked``."""
    if amount is None:
        return pgettext("limit", "unlimited")
    return usd(amount) if amount else pgettext("limit", "blocked")


def figure(amount: Decimal, rounding: Rounding) -> SafeString:
    """Return an amount rounded for a table, with the exact one for those who point at it and for machines."""
    html = '<data class="budget-figure" value="{}" title="{}">{}</data>'
    return format_html(html, plain(amount), usd(amount), usd(amount, rounding))


def number(whole: int) -> str:
    """Return a whole number as the language writes it: ``1,234,567``."""
    return formats.number_format(whole, force_grouping=True)


def moment(at: datetime, *, seconds: bool = False) -> str:
    """Return an instant in the current time zone, which is named: ``2026-11-24 00:00 UTC``."""
    local = timezone.localtime(at)
    return f"{local:%Y-%m-%d %H:%M:%S %Z}" if seconds else f"{local:%Y-%m-%d %H:%M %Z}"


def instant(at: datetime, *, seconds: bool = False) -> SafeString:
    """Return an instant as a ``<time>`` element. See moment()."""
    return format_html('<time datetime="{}">{}</time>', at.isoformat(), moment(at, seconds=seconds))


def name(text: str) -> str:
    """Return a name that strangers chose, with the characters made visible that would turn the text around."""
    return text.translate(_TURNING)


def named(text: str) -> SafeString:
    """Return a name as an element that keeps its direction to itself. See name()."""
    return format_html('<bdi class="budget-name">{}</bdi>', name(text))


def value(what: object) -> str:
    """Return the value of a field in words; that of an empty one is a dash."""
    match what:
        case bool():
            return _("yes") if what else _("no")
        case Decimal():
            return usd(what)
        case datetime():
            return moment(what)
    return NOTHING if what is None else name(str(what)) or NOTHING


def whose(row: BudgetLimit) -> str:
    """Return whose limit it is: the user's name, the project's id, or the site."""
    match row.scope:
        case Scope.USER:
            return str(row.user.get_username())  # type: ignore[attr-defined]  # a UserLimit
        case Scope.PROJECT:
            return row.subject.id
        case Scope.GLOBAL:
            return _("the whole site")


def exact(amount: Decimal, places: int = 0) -> SafeString:
    """
    Return an exact amount with what is finer than a cent set apart.

    That is filled up to so many places by what is as wide as a digit, so that the points of a column are in line.
    """
    text = usd(amount)
    point = formats.get_format("DECIMAL_SEPARATOR")
    whole, _point, rest = text.rpartition(point)
    fine = "".join(takewhile(str.isdigit, rest[_CENTS:]))
    html = '<data class="budget-exact" dir="ltr" value="{}">{}{}{}<span class="budget-digits">{}</span>{}</data>{}'
    after = rest[_CENTS + len(fine) :]
    return format_html(
        html, plain(amount), whole, point, rest[:_CENTS], fine, after, "\N{FIGURE SPACE}" * (places - len(fine))
    )


def fine_places(amounts: Collection[int]) -> int:
    """Return how many digits finer than a cent amounts (nano-USD) need at most."""
    places = 0
    while any(nanos % 10 ** (_FINEST - places) for nanos in amounts):
        places += 1
    return places
