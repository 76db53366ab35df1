"""
What one token costs by litellm's own arithmetic, for models whose tokens all cost the same.

litellm is asked once for each row of its map, and again as soon as the row is another: to ask it takes longer than all
other sums of a call together.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from decimal import Context, Decimal
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import UnknownModelError
from .usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

__all__ = ["KnownRates", "Rates"]

_MAX_ROWS: Final = 1_024
_EXACT: Final = Context(prec=60)
#: litellm multiplies floats: what is behind so many digits is their error, and no price.
_STATED: Final = Context(prec=15)
#: Kinds of tokens that are left to litellm, and what is not billed by tokens at all.
_others_of: Final = attrgetter(
    "cache_write_1h_tokens",
    "audio_input_tokens",
    "audio_output_tokens",
    "image_input_tokens",
    "image_output_tokens",
    "web_searches",
)
_MAX_PROMPT: Final = 10_000_000
_TOLERANCE: Final = Decimal("1e-12")

#: Prices that change with the time or with the length of a prompt.
_CHANGING: Final = frozenset({"off_peak_pricing", "tiered_pricing"})
_THRESHOLD: Final = re.compile(r"_above_(\d+)(k?)_tokens")
#: How long a cache is kept, and intervals of videos: nothing that a prompt's length changes.
_NO_THRESHOLD: Final = re.compile(r"_above_\d+(?:hr|s_interval)")


@dataclass(frozen=True, slots=True)
class Rates:
    """What a token of each kind costs in USD, None if it has no price, with prompts of at most ``longest`` tokens."""

    longest: int
    input: Decimal
    output: Decimal | None
    cached_input: Decimal | None
    cache_write: Decimal | None
    reasoning: Decimal | None

    def cost(self, usage: TokenUsage) -> Decimal | None:
        """Return what a call costs in USD, exactly; None if it is billed by more than such tokens."""
        cached, written, reasoning = usage.cached_input_tokens, usage.cache_write_tokens, usage.reasoning_tokens
        plain, text = usage.input_tokens - cached - written, usage.output_tokens - reasoning
        if usage.input_tokens > self.longest or any(_others_of(usage)):
            return None
        cost = _EXACT.multiply(self.input, plain)
        for count, rate in (
            (text, self.output),
            (cached, self.cached_input),
            (written, self.cache_write),
            (reasoning, self.reasoning),
        ):
            if count:
                if rate is None:
                    return None
                cost = _EXACT.add(cost, _EXACT.multiply(rate, count))
        return cost


@dataclass(frozen=True, slots=True)
class _Known:
    """What litellm said, and of which rows: copies, because it changes its rows where they are."""

    rows: tuple[Mapping[str, Any] | None, ...]
    rates: Rates | None


class KnownRates:
    """The rates that litellm was asked for. Safe to share between threads."""

    def __init__(self) -> None:
        self._known: dict[tuple[object, ...], _Known] = {}

    def find(
        self,
        name: tuple[str, ...],
        usage: TokenUsage,
        rows: Iterable[Mapping[str, Any] | None],
        price: Callable[[TokenUsage], Decimal],
    ) -> Rates | None:
        """
        Return the rates of a model on the terms of a call (tier, region, speed), None if its tokens differ in price.

        ``rows`` are those of litellm's map that decide the price; ``price`` asks litellm what a call costs in USD.
        """
        key = (*name, usage.service_tier, usage.inference_geo, usage.speed)
        now = tuple(rows)
        known = self._known.get(key)
        if known is not None and known.rows == now:
            return known.rates
        copies = tuple(None if row is None else dict(row) for row in now)
        rates = _asked(copies, _terms_of(usage), price)
        if len(self._known) >= _MAX_ROWS:  # names come from users
            self._known.clear()
        self._known[key] = _Known(copies, rates)
        return rates


def _terms_of(usage: TokenUsage) -> TokenUsage:
    return TokenUsage(0, 0, service_tier=usage.service_tier, inference_geo=usage.inference_geo, speed=usage.speed)


def _asked(
    rows: Iterable[Mapping[str, Any] | None], terms: TokenUsage, price: Callable[[TokenUsage], Decimal]
) -> Rates | None:
    longest = min((_longest(row) for row in rows if row is not None), default=0)
    if not longest:
        return None

    def one(**counts: Any) -> Decimal | None:
        try:
            return _STATED.plus(price(replace(terms, **counts)))
        except UnknownModelError:  # it has no price, or one of 0, which litellm takes for what it does not know
            return None

    each_input = one(input_tokens=1)
    if each_input is None:
        return None
    rates = Rates(
        longest,
        each_input,
        one(output_tokens=1),
        cached_input=one(input_tokens=1, cached_input_tokens=1),
        cache_write=one(input_tokens=1, cache_write_tokens=1),
        reasoning=one(output_tokens=1, reasoning_tokens=1),
    )
    agrees = all(_agree(rates, replace(terms, **counts), price) for counts in _samples(longest))
    return rates if agrees else None


def _agree(rates: Rates, usage: TokenUsage, price: Callable[[TokenUsage], Decimal]) -> bool:
    """Return whether a whole call costs what its tokens do: there may be a price for the call itself."""
    cost = rates.cost(usage)
    if cost is None:
        return True  # then litellm is asked
    try:
        said = price(usage)
    except UnknownModelError:
        return False
    return abs(cost - said) <= said * _TOLERANCE


def _samples(longest: int) -> tuple[dict[str, Any], ...]:
    """Return calls, short and with the longest prompt, of each kind of tokens."""
    tenth = longest // 10
    return (
        {"input_tokens": 97},
        {"input_tokens": 97, "output_tokens": 31},
        {"input_tokens": longest, "output_tokens": 1_000_003},
        {"input_tokens": longest, "cached_input_tokens": 3 * tenth, "output_tokens": 70_001},
        {"input_tokens": longest, "cache_write_tokens": 2 * tenth, "output_tokens": 70_001},
        {"input_tokens": longest, "output_tokens": 70_001, "reasoning_tokens": 50_001},
    )


def _longest(row: Mapping[str, Any]) -> int:
    """Return the longest prompt whose tokens cost the same as those of a short one; 0 if there is none."""
    longest = _MAX_PROMPT
    for key, price in row.items():
        if price is None:  # litellm fills rows in that are registered with it, as a router's
            continue
        if key in _CHANGING:
            return 0
        if "_above_" in _NO_THRESHOLD.sub("", key):
            found = _THRESHOLD.search(key)
            if found is None:
                return 0
            # The tier of some providers begins at the threshold, that of others above it.
            longest = min(longest, int(found[1]) * (1_000 if found[2] else 1) - 1)
    return longest
