"""``listing``: where the price of a model comes from now, for those who look after prices."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from .litellm_prices import litellm_knows, litellm_listed

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .prices import PriceRow

__all__ = ["Listing", "Source", "listing"]


class Source(StrEnum):
    """Where a price comes from: a row of the admin, the settings, litellm's map; or there is none."""

    ADMIN = "admin"
    SETTINGS = "settings"
    LITELLM = "litellm"
    NONE = "none"


@dataclass(frozen=True, slots=True)
class Listing:
    """Where a model's price comes from, and what a million tokens cost by it; None if it is none of plain tokens."""

    source: Source
    price: PriceRow | None


def listing(model: str, rows: Mapping[str, PriceRow], overrides: Mapping[str, PriceRow]) -> Listing:
    """
    Return the price of a model, as PricingEngine finds it: rows of the admin, then overrides of the settings, litellm.

    A price of nothing that nobody has called free is none.
    """
    for source, known in ((Source.ADMIN, rows), (Source.SETTINGS, overrides)):
        if model in known:
            return Listing(source if known[model].is_known else Source.NONE, known[model])
    return Listing(Source.LITELLM, litellm_listed(model)) if litellm_knows(model) else Listing(Source.NONE, None)
