"""``PriceRow``: a price that somebody stated, in the admin (``read_price_rows``), the settings or with a call."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation, localcontext
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import BudgetConfigurationError
from ..money import MAX_USD, plain_text

if TYPE_CHECKING:
    from .usage import TokenUsage

__all__ = ["PriceRow", "read_price_overrides", "read_price_rows", "read_stated_price"]

_MILLION: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class PriceRow:
    """
    The price of a model in USD per million tokens.

    Without prices of their own, cached input and cache writes cost what input costs; audio, images and reasoning
    always cost what input and output cost, searches of the web nothing. Prices of nothing count only if ``is_free``
    says that they are meant.
    """

    input: Decimal
    output: Decimal
    cached_input: Decimal | None = None
    cache_write: Decimal | None = None
    is_free: bool = False

    @property
    def is_known(self) -> bool:
        """False if every price is 0 and nobody said that the model is free."""
        return self.is_free or bool(self.input or self.output)

    def cost(self, usage: TokenUsage) -> Decimal:
        """Return what the tokens cost in USD, exactly."""
        cached_input = self.input if self.cached_input is None else self.cached_input
        cache_write = self.input if self.cache_write is None else self.cache_write
        plain = usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens
        with localcontext(prec=60):
            millionths = (
                plain * self.input
                + usage.cached_input_tokens * cached_input
                + usage.cache_write_tokens * cache_write
                + usage.output_tokens * self.output
            )
            return millionths / _MILLION


def read_price_rows() -> dict[str, PriceRow]:
    """Return the prices in the admin by model name. One query, on the caller's thread."""
    from ..models import ModelPrice

    rows = ModelPrice.objects.values_list(
        "model",
        "input_usd_per_million",
        "output_usd_per_million",
        "cached_input_usd_per_million",
        "cache_write_usd_per_million",
        "is_free",
    )
    return {model: PriceRow(*prices) for model, *prices in rows}


def read_price_overrides(overrides: Mapping[str, Any]) -> dict[str, PriceRow]:
    """
    Return the prices in ``MODEL_PRICE_OVERRIDES`` by model name.

    Each is a mapping with ``input_usd_per_million`` and ``output_usd_per_million`` (or litellm's
    ``input_cost_per_token`` and ``output_cost_per_token``), optionally ``cached_input_usd_per_million``,
    ``cache_write_usd_per_million`` and ``free``. Raise BudgetConfigurationError for anything else.
    """
    return {model: _read_override(model, raw) for model, raw in overrides.items()}


# key -> (field of PriceRow, tokens that the price is for)
_KEYS: Final = {
    "input_usd_per_million": ("input", _MILLION),
    "output_usd_per_million": ("output", _MILLION),
    "cached_input_usd_per_million": ("cached_input", _MILLION),
    "cache_write_usd_per_million": ("cache_write", _MILLION),
    "input_cost_per_token": ("input", 1),
    "output_cost_per_token": ("output", 1),
    "cache_read_input_token_cost": ("cached_input", 1),
    "cache_creation_input_token_cost": ("cache_write", 1),
}


def read_stated_price(stated: Mapping[str, object], whose: str, *, has_output: bool) -> PriceRow:
    """
    Return the price that comes with a call in litellm's words (``input_cost_per_token``...), in USD per token.

    ``whose`` says for messages whose price it is. Raise ValueError for prices that cannot be, or that are not read.
    """
    prices: dict[str, Any] = {} if has_output else {"output": Decimal(0)}
    for key, value in stated.items():
        field, per = _KEYS.get(key, ("", 0))
        if per != 1:
            read = ", ".join(name for name, (_, per) in _KEYS.items() if per == 1)
            raise ValueError(
                f"{whose} states {key}, which budgets do not read: state {read}, or make the call without a wrapper "
                "and charge its cost by hand."
            )
        price = _amount(value, f"{whose} states {key}, which")
        if price > 1:
            raise ValueError(
                f"{whose} states {key} as {value!r:.80}, more than 1 USD for a single token: 2.50 USD a million are "
                "0.0000025."
            )
        prices[field] = price * _MILLION
    for field in ("input", "output"):
        if field not in prices:
            raise ValueError(f"{whose} states no {field}_cost_per_token beside {', '.join(stated)}: state both.")
    return PriceRow(**prices)


def _read_override(model: str, raw: object) -> PriceRow:
    where = f"COREASON_BUDGET['MODEL_PRICE_OVERRIDES'][{model!r}]"
    if not isinstance(raw, Mapping):
        raise BudgetConfigurationError(f"{where} must be a mapping of prices, not {raw!r:.80}.")
    is_free = raw.get("free", False)
    if not isinstance(is_free, bool):
        raise BudgetConfigurationError(f"{where}['free'] must be True or False, not {is_free!r:.80}.")
    prices: dict[str, Decimal] = {"input": Decimal(0), "output": Decimal(0)} if is_free else {}
    seen: dict[str, str] = {}
    for key, value in raw.items():
        if key == "free":
            continue
        if key not in _KEYS:
            raise BudgetConfigurationError(f"{where} has an unknown key {key!r}; use {', '.join(_KEYS)} or free.")
        field, per = _KEYS[key]
        if field in seen:
            raise BudgetConfigurationError(f"{where} has both {seen[field]!r} and {key!r}; keep one of them.")
        seen[field] = key
        prices[field] = _price(value, f"{where}[{key!r}]") * (_MILLION // per)
    for field in ("input", "output"):
        if field not in prices:
            raise BudgetConfigurationError(f"{where} needs '{field}_usd_per_million', or 'free': True.")
    return PriceRow(**prices, is_free=is_free)


def _price(value: object, where: str) -> Decimal:
    try:
        return _amount(value, where)
    except ValueError as error:
        raise BudgetConfigurationError(str(error)) from None


def _amount(value: object, where: str) -> Decimal:
    remedy = "use an amount of USD that is 0 or more, such as '2.50'"
    if isinstance(value, bool) or not isinstance(value, (Decimal, str, int, float)):
        raise ValueError(f"{where} is {value!r:.80}; {remedy}.")  # noqa: TRY004  # one kind of error for all of them
    try:
        price = value if isinstance(value, Decimal) else Decimal(plain_text(value))
    except InvalidOperation:
        raise ValueError(f"{where} is {value!r:.80}; {remedy}.") from None
    if not price.is_finite() or not 0 <= price <= MAX_USD or "_" in str(value):
        raise ValueError(f"{where} is {value!r:.80}; {remedy}.")
    return price
