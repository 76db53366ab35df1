"""Prices that come with a call, in litellm's words: arguments of the call, or of a router's deployment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ...pricing.prices import read_stated_price

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...pricing.prices import PriceRow

__all__ = ["stated_price"]

_PRICE: Final = re.compile(r"\w+_pricing|(?:\w+_)?cost_per_\w+|\w*cache_\w+_cost(?:_\w+)?")


def stated_price(options: Mapping[str, Any], whose: str, *, has_output: bool) -> PriceRow | None:
    """Return the price that options state, None if they state none. See read_stated_price() for what it raises."""
    stated = {name: value for name, value in options.items() if value is not None and _PRICE.fullmatch(str(name))}
    return read_stated_price(stated, whose, has_output=has_output) if stated else None
