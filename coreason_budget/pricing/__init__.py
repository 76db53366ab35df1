"""What a call costs: prices from the admin, the settings or litellm. Importing this imports none of them."""

from __future__ import annotations

from .engine import PricedCall, PricingEngine
from .prices import PriceRow, read_price_overrides, read_price_rows
from .streams import StreamedResponse
from .tokens import count_output
from .usage import TokenUsage

__all__ = [
    "PriceRow",
    "PricedCall",
    "PricingEngine",
    "StreamedResponse",
    "TokenUsage",
    "count_output",
    "read_price_overrides",
    "read_price_rows",
]
