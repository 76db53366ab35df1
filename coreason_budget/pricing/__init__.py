"""What a call costs: prices from the admin, the settings or litellm. Importing this imports none of them."""

from __future__ import annotations

from .engine import PricedCall, PricingEngine
from .listing import Listing, Source, listing
from .litellm_prices import litellm_listed
from .prices import PriceRow, read_price_overrides, read_price_rows
from .streams import StreamedResponse
from .tokens import count_output
from .usage import TokenUsage

__all__ = [
    "Listing",
    "PriceRow",
    "PricedCall",
    "PricingEngine",
    "Source",
    "StreamedResponse",
    "TokenUsage",
    "count_output",
    "listing",
    "litellm_listed",
    "read_price_overrides",
    "read_price_rows",
]
