"""Amounts of USD as people read them, in the language and number format that are active."""

from __future__ import annotations

from decimal import ROUND_CEILING, ROUND_FLOOR, Decimal
from typing import Final, Literal

from django.utils.formats import number_format
from django.utils.translation import gettext as _
from django.utils.translation import pgettext

__all__ = ["Rounding", "per", "plain", "usd"]

#: What is left is rounded down, so that nobody is promised more than there is; what is spent or asked for, up.
Rounding = Literal["down", "up", "exact"]

_MODES: Final = {"down": ROUND_FLOOR, "up": ROUND_CEILING}
_CENTS: Final = 2
_SIGNIFICANT: Final = 2


def usd(amount: Decimal, rounding: Rounding = "exact") -> str:
    """
    Return an amount of USD as text: ``$1,234.56`` and ``$0.00042``; in German ``1.234,56 $``.

    It is rounded to the cent, below ten cents to two significant digits; ``exact`` keeps every digit.
    """
    if rounding != "exact":
        places = max(_CENTS, _SIGNIFICANT - 1 - amount.adjusted()) if amount else _CENTS
        amount = amount.quantize(Decimal(1).scaleb(-places), _MODES[rounding])
    number = number_format(abs(amount), decimal_pos=_decimals(amount), force_grouping=True)
    text = pgettext("an amount of US dollars", "$%(amount)s") % {"amount": number}
    return f"-{text}" if amount < 0 else text


def plain(amount: Decimal) -> str:
    """Return an exact amount for machines, as attributes need it: digits and a point in every language."""
    return f"{amount:f}"


def per(period: str) -> str:
    """Return a period as it follows an amount."""
    return {"day": _("per day"), "week": _("per week"), "month": _("per month")}[period]


def _decimals(amount: Decimal) -> int:
    """Return how many decimals an amount is shown with: all that are not trailing zeros, at least two."""
    exponent = amount.normalize().as_tuple().exponent
    return max(_CENTS, -exponent) if isinstance(exponent, int) else _CENTS
