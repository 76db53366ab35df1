"""Prices for a million tokens beside those of litellm's map: a slip of the decimal point is seen before it is spent."""

from __future__ import annotations

from decimal import ROUND_DOWN, Decimal
from typing import TYPE_CHECKING, Final

from django.utils import formats
from django.utils.html import format_html
from django.utils.translation import gettext as _

from ..pricing import PriceRow, litellm_listed
from . import words

if TYPE_CHECKING:
    from django.utils.safestring import SafeString

    from ..models import ModelPrice

__all__ = ["beside", "is_far_off", "litellms", "price_row"]

#: So many times litellm's price, or so small a part of it, is more likely a slip than a discount.
FAR: Final = 10

_TENTH: Final = Decimal("0.1")


def price_row(price: ModelPrice) -> PriceRow:
    """Return a row of the admin as prices are counted with."""
    return PriceRow(
        price.input_usd_per_million,
        price.output_usd_per_million,
        price.cached_input_usd_per_million,
        price.cache_write_usd_per_million,
        price.is_free,
    )


def litellms(model: str) -> dict[str, Decimal | None]:
    """Return litellm's prices of a model in USD for a million tokens, by the names of our fields; empty if none."""
    listed = litellm_listed(model)
    if listed is None:
        return {}
    return {
        "input_usd_per_million": listed.input,
        "output_usd_per_million": listed.output,
        "cached_input_usd_per_million": listed.cached_input,
        "cache_write_usd_per_million": listed.cache_write,
    }


def beside(ours: Decimal, theirs: Decimal | None) -> SafeString | str:
    """Return litellm's price, and how much ours differs from it; empty if litellm has none."""
    if theirs is None:
        return ""
    said = _("litellm: %(price)s, ours %(difference)s") % {
        "price": words.usd(theirs),
        "difference": _difference(ours, theirs),
    }
    kind = "far" if _is_far(ours, theirs) else "near"
    return format_html('<span class="budget-litellm budget-litellm-{}">{}</span>', kind, said)


def is_far_off(price: ModelPrice) -> bool:
    """Tell whether a price is of another order than litellm's: it may have been entered for one token."""
    listed = {} if price.is_free else litellms(price.model)
    pairs = [(getattr(price, name), theirs) for name, theirs in listed.items()]
    return any(_is_far(ours, theirs) for ours, theirs in pairs if ours is not None and theirs is not None)


def _is_far(ours: Decimal, theirs: Decimal) -> bool:
    return bool(theirs) and (ours >= theirs * FAR or ours * FAR <= theirs)


def _difference(ours: Decimal, theirs: Decimal) -> str:
    if ours == theirs:
        return _("the same")
    if not theirs:
        return _("more")
    if ours >= theirs * FAR:
        return _("%(factor)s times as much") % {"factor": words.number(int(ours / theirs))}
    percent = ((ours - theirs) * 100 / theirs).quantize(_TENTH, ROUND_DOWN)
    if not percent:
        return _("about the same")
    shown = formats.number_format(abs(percent) if percent % 1 else int(abs(percent)))
    return f"{'-' if ours < theirs else '+'}{shown}\N{NO-BREAK SPACE}%"
