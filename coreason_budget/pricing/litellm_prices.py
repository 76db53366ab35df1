"""Prices from litellm's map, by litellm's own arithmetic. Only what the map states counts, never litellm's guesses."""

from __future__ import annotations

import importlib
import os
import sys
from decimal import Decimal
from functools import cache, lru_cache, partial
from threading import Lock
from typing import TYPE_CHECKING, Any, Final, overload

from ..exceptions import UnknownModelError
from .litellm_media import find_sized, media_cost, states_media_prices
from .litellm_rates import KnownRates
from .prices import PriceRow
from .usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "litellm_cost",
    "litellm_extras",
    "litellm_is_loaded",
    "litellm_knows",
    "litellm_listed",
    "litellm_max_output",
    "load_litellm",
]

_LOCAL_MAP: Final = "LITELLM_LOCAL_MODEL_COST_MAP"
_MILLION: Final = 1_000_000
_ONE_TOKEN: Final = TokenUsage(1, 0)
_ONE_IMAGE: Final = TokenUsage(0, 0, images=1)
_import_lock = Lock()
_rates: Final = KnownRates()

# litellm asks a running server about these models whenever it prices one.
_ASKS_A_SERVER: Final = frozenset({"lemonade", "ollama", "ollama_chat"})
_ROUTES: Final = ("bedrock/converse/", "bedrock/invoke/")
_SAME_PROVIDER: Final = {"bedrock_converse": "bedrock", "cohere_chat": "cohere", "vertex_ai_beta": "vertex_ai"}
_EXTRAS: Final = (("reasoning", "output_cost_per_reasoning"), ("cache_write", "cache_creation_input"))
_STANDARD_TIERS: Final = frozenset({"auto", "default", "standard"})


def load_litellm() -> Any:
    """
    Import litellm with the price map of its package; left alone it fetches one from the network, and waits for it.

    litellm reads the variable while it is imported, so it is set for just that long: what this process or its
    children do with litellm later stays as the user configured it.
    """
    return _imported()


def litellm_is_loaded() -> bool:
    """Return whether load_litellm() has imported it: that takes seconds."""
    return _imported.cache_info().currsize > 0


@cache
def _imported() -> Any:
    if "litellm" in sys.modules:
        return importlib.import_module("litellm")
    with _import_lock:
        before = os.environ.get(_LOCAL_MAP)
        os.environ[_LOCAL_MAP] = "True"
        try:
            return importlib.import_module("litellm")
        finally:
            if before is None:
                del os.environ[_LOCAL_MAP]
            else:
                os.environ[_LOCAL_MAP] = before


def litellm_cost(model: str, usage: TokenUsage) -> Decimal:
    """
    Return what litellm says that a call cost, in USD.

    Raise UnknownModelError unless litellm's map has prices under the model's own name, or if litellm's answer for
    plain tokens is 0: it answers 0 for many models that it does not know.
    """
    litellm = load_litellm()
    if usage.images or usage.audio_seconds or usage.search_units:
        return _media_cost(litellm, model, usage)
    prices = litellm.model_cost
    found = _find(model, prices)
    if found is None:
        raise UnknownModelError("it has no price in litellm's map")
    key, provider = found
    rows = (prices[key], prices.get(f"{provider}/{key}"))  # it takes the second where there is one
    rates = _rates.find(found, usage, rows, partial(_token_cost, litellm, key, provider))
    cost = None if rates is None else rates.cost(usage)
    return _token_cost(litellm, key, provider, usage) if cost is None else cost


def _token_cost(litellm: Any, key: str, provider: str, usage: TokenUsage) -> Decimal:
    options = {"service_tier": usage.service_tier} if usage.service_tier not in (None, *_STANDARD_TIERS) else {}
    try:
        used = _litellm_usage(usage)
        priced = litellm.get_model_info(model=key, custom_llm_provider=provider)["key"]
        costs = litellm.cost_per_token(
            model=key,
            custom_llm_provider=provider,
            prompt_tokens=usage.input_tokens,  # older releases price some providers by these two
            completion_tokens=usage.output_tokens,
            usage_object=used,
            **options,
        )
        searches = _search_cost(key, provider, used) if usage.web_searches else Decimal(0)
    except Exception as error:  # litellm raises bare Exceptions; whatever it is, there is no price
        raise UnknownModelError(f"litellm cannot price it ({error!r:.200})") from error
    if priced not in {key, f"{provider}/{key}"}:
        raise UnknownModelError(f"litellm would price it as {priced!r}")
    input_cost, output_cost = (Decimal(repr(cost)) for cost in costs)
    if not (input_cost >= 0 and output_cost >= 0 and (input_cost + output_cost).is_finite()):
        raise UnknownModelError(f"litellm would price it at {input_cost} and {output_cost} USD")
    for what, cost, tokens in (
        ("input", input_cost, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens),
        ("output", output_cost, usage.output_tokens - usage.reasoning_tokens),
    ):
        if tokens and not cost:
            raise UnknownModelError(f"its price for {what} in litellm's map is 0")
    if usage.total_tokens and not input_cost + output_cost:
        raise UnknownModelError("its price in litellm's map is 0")
    return input_cost + output_cost + searches


def _media_cost(litellm: Any, model: str, usage: TokenUsage) -> Decimal:
    prices: Mapping[str, Mapping[str, Any]] = litellm.model_cost
    found = _find(model, prices, states_media_prices) or find_sized(_names(model), usage, prices)
    if found is None:
        raise UnknownModelError("it has no price for such calls in litellm's map")
    try:
        cost = Decimal(repr(media_cost(litellm, *found, usage)))
    except Exception as error:  # as above
        raise UnknownModelError(f"litellm cannot price it ({error!r:.200})") from error
    if not cost:
        raise UnknownModelError("its price in litellm's map is 0")
    return cost


def litellm_max_output(model: str) -> int | None:
    """Return the longest answer of a model in tokens, as litellm's map states it, None if it does not."""
    prices = load_litellm().model_cost
    found = _find(model, prices)
    longest = None if found is None else prices[found[0]].get("max_output_tokens")
    return longest if isinstance(longest, int) and longest > 0 else None


def litellm_knows(model: str) -> bool:
    """Return whether calls of a model can be priced by litellm's map: by tokens, or as images, seconds or searches."""
    try:
        litellm_cost(model, _ONE_TOKEN)
    except UnknownModelError:
        prices = load_litellm().model_cost
        found = _find(model, prices, states_media_prices) or find_sized(_names(model), _ONE_IMAGE, prices)
        return found is not None and not litellm_listed(model)
    return True


def litellm_listed(model: str) -> PriceRow | None:
    """Return what a million tokens of a model cost as litellm's map states it, None if it states no plain price."""
    prices = load_litellm().model_cost
    found = _find(model, prices)
    row = {} if found is None else prices[found[0]]
    if row.get("input_cost_per_token") is None:
        return None
    return PriceRow(
        input=_per_million(row["input_cost_per_token"]),
        output=_per_million(row.get("output_cost_per_token") or 0),
        cached_input=_per_million(row.get("cache_read_input_token_cost")),
        cache_write=_per_million(row.get("cache_creation_input_token_cost")),
    )


def litellm_extras(model: str) -> frozenset[str]:
    """Return what a model's row in litellm's map prices apart: ``reasoning``, ``cache_write``. Empty without a row."""
    prices = load_litellm().model_cost
    found = _find(model, prices)
    return frozenset() if found is None else _extras_in(tuple(prices[found[0]]))


@lru_cache(maxsize=1_024)
def _extras_in(keys: tuple[str, ...]) -> frozenset[str]:
    if "tiered_pricing" in keys:  # each tier may have its own
        return frozenset(extra for extra, _ in _EXTRAS)
    return frozenset(extra for extra, prefix in _EXTRAS if any(key.startswith(prefix) for key in keys))


@overload
def _per_million(usd: float | str) -> Decimal: ...
@overload
def _per_million(usd: None) -> None: ...
def _per_million(usd: float | str | None) -> Decimal | None:
    return None if usd is None else Decimal(str(usd)) * _MILLION


def _states_prices(row: Mapping[str, Any]) -> bool:
    if row.get("input_cost_per_token") is None:
        return bool(row.get("tiered_pricing"))
    return row.get("output_cost_per_token") is not None or row.get("mode") == "embedding"


def _find(
    model: str,
    prices: Mapping[str, Mapping[str, Any]],
    states_prices: Callable[[Mapping[str, Any]], bool] = _states_prices,
) -> tuple[str, str] | None:
    # Not litellm.get_llm_provider: for some names that starts a login at the provider, over the network.
    for name, prefix in _names(model):
        row = prices.get(name)
        if row is None:
            continue
        provider = _provider(row) or model.rpartition("/")[0]  # register_model() takes rows without one
        if prefix and _canonical(prefix) != _canonical(provider):
            continue
        return (name, provider) if provider not in {"", *_ASKS_A_SERVER} and states_prices(row) else None
    return None


@lru_cache(maxsize=1_024)  # they may come from users
def _names(model: str) -> tuple[tuple[str, str], ...]:
    """Return the names that the map may have for a model, each with the provider (or none) that its row must have."""
    for route in _ROUTES:
        if model.startswith(route):
            model = "bedrock/" + model.removeprefix(route)
    prefix, slash, rest = model.partition("/")
    name, provider = (rest, prefix) if slash else (model, "")
    if name.startswith("ft:"):
        # ft:gpt-4o-2024-08-06:organisation:suffix:id costs what every fine-tuned gpt-4o-2024-08-06 costs.
        name = ":".join(name.split(":")[:2])
    return ((model, ""), (name, provider)) if provider or not slash else ()


def _provider(row: Mapping[str, Any]) -> str:
    provider = str(row.get("litellm_provider") or "")
    for family in ("vertex_ai", "fireworks_ai"):
        if provider.startswith(family):
            return family
    return "bedrock" if provider == "bedrock_converse" else provider


def _canonical(provider: str) -> str:
    return _SAME_PROVIDER.get(provider, provider)


def _litellm_usage(usage: TokenUsage) -> Any:
    from litellm.types.utils import Usage

    prompt = {
        "cached_tokens": usage.cached_input_tokens,
        "audio_tokens": usage.audio_input_tokens,
        "image_tokens": usage.image_input_tokens,
    }
    completion = {
        "reasoning_tokens": usage.reasoning_tokens,
        "audio_tokens": usage.audio_output_tokens,
        "image_tokens": usage.image_output_tokens,
    }
    extra: dict[str, Any] = {}
    if usage.cache_write_tokens:
        extra["cache_creation_input_tokens"] = usage.cache_write_tokens
    if usage.cache_write_1h_tokens:
        prompt["cache_creation_token_details"] = _cache_writes(usage)
    if usage.web_searches:
        extra["server_tool_use"] = {"web_search_requests": usage.web_searches}
        prompt["web_search_requests"] = usage.web_searches
    if usage.inference_geo:
        extra["inference_geo"] = usage.inference_geo
    if usage.speed:
        extra["speed"] = usage.speed
    return Usage(
        prompt_tokens=usage.input_tokens,
        completion_tokens=usage.output_tokens,
        total_tokens=usage.total_tokens,
        prompt_tokens_details=prompt if any(prompt.values()) else None,
        completion_tokens_details=completion if any(completion.values()) else None,
        **extra,
    )


def _search_cost(model: str, provider: str, usage: Any) -> Decimal:
    from litellm.litellm_core_utils.llm_cost_calc.tool_call_cost_tracking import StandardBuiltInToolCostTracking

    cost = StandardBuiltInToolCostTracking.get_cost_for_built_in_tools(
        model=model, response_object=None, usage=usage, custom_llm_provider=provider
    )
    return Decimal(repr(cost))


def _cache_writes(usage: TokenUsage) -> Any:
    return {
        "ephemeral_5m_input_tokens": usage.cache_write_tokens - usage.cache_write_1h_tokens,
        "ephemeral_1h_input_tokens": usage.cache_write_1h_tokens,
    }
