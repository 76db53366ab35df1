"""``PricingEngine``: finds the price of a model (admin, settings, litellm) and does the sums that budgets need."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace
from decimal import Decimal
from threading import Lock
from typing import TYPE_CHECKING, Final

from ..conf import BudgetConfig
from ..exceptions import UnknownModelError
from ..money import Amount, to_nanos, to_usd
from .encodings import is_loaded
from .litellm_prices import litellm_cost, litellm_extras, litellm_is_loaded, litellm_max_output
from .prices import PriceRow, read_price_overrides
from .responses import is_from_cache, model_names, read_usage
from .streams import StreamedResponse
from .tokens import MessageTokens, count_messages, is_short
from .usage import TokenUsage, token_count

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

__all__ = ["MAX_AFFORDABLE_TOKENS", "PricedCall", "PricingEngine"]

MAX_AFFORDABLE_TOKENS: Final = 10_000_000
_MANY: Final = 1_000
_SHORT: Final = 2_000  # characters; they are counted in up to half a millisecond
_ALL: Final = ("reasoning", "cache_write")


@dataclass(frozen=True, slots=True)
class PricedCall:
    """What a call cost in USD, the model name of its price, what it used, and whether a cache has answered instead."""

    model: str
    cost_usd: Decimal
    usage: TokenUsage
    is_from_cache: bool = False

    @property
    def input_tokens(self) -> int:
        """The whole prompt, in tokens."""
        return self.usage.input_tokens

    @property
    def output_tokens(self) -> int:
        """The whole answer, in tokens."""
        return self.usage.output_tokens


class PricingEngine:
    """
    Prices of models: a row in the admin goes before ``MODEL_PRICE_OVERRIDES``, that before litellm's price map.

    Where ``stated`` is taken, it is a price that comes with the call, and goes before litellm's map.

    ``load_prices`` returns the admin's rows by model name; they are kept for ``config.limits_ttl`` seconds, and an
    error of it is an error of the call: older rows are not used. Names match exactly. Safe to share between threads.
    """

    def __init__(
        self,
        config: BudgetConfig | None = None,
        load_prices: Callable[[], Mapping[str, PriceRow]] | None = None,
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._config = config or BudgetConfig()
        self._load_prices = load_prices
        self._clock = clock
        self._overrides = read_price_overrides(self._config.model_price_overrides)
        self._lock = Lock()
        self._rows: Mapping[str, PriceRow] = {}
        self._fresh_until: float | None = None
        self._generation = 0

    def calculate(  # noqa: PLR0913  # every kind of token has its own price
        self,
        model: str,
        input_tokens: int,
        output_tokens: int,
        *,
        cached_input_tokens: int = 0,
        cache_write_tokens: int = 0,
        cache_write_1h_tokens: int = 0,
        reasoning_tokens: int = 0,
        audio_input_tokens: int = 0,
        audio_output_tokens: int = 0,
        image_input_tokens: int = 0,
        image_output_tokens: int = 0,
        web_searches: int = 0,
        service_tier: str | None = None,
    ) -> Decimal:
        """
        Return what a call costs in USD, to the nano-dollar.

        ``input_tokens`` is the whole prompt, as OpenAI and litellm count it: cached tokens, tokens written to the
        cache, audio and images are parts of it. ``output_tokens`` is the whole answer, with reasoning and media.
        Raise UnknownModelError if no price is known, TypeError and ValueError for counts that cannot be.

            budget.pricing.calculate(model="gpt-4", input_tokens=1_000, output_tokens=200)
        """
        usage = TokenUsage(
            input_tokens,
            output_tokens,
            cached_input_tokens=cached_input_tokens,
            cache_write_tokens=cache_write_tokens,
            cache_write_1h_tokens=cache_write_1h_tokens,
            reasoning_tokens=reasoning_tokens,
            audio_input_tokens=audio_input_tokens,
            audio_output_tokens=audio_output_tokens,
            image_input_tokens=image_input_tokens,
            image_output_tokens=image_output_tokens,
            web_searches=web_searches,
            service_tier=service_tier,
        )
        return to_usd(self._nanos(_model(model), usage))

    def estimate(
        self,
        model: str,
        messages: object = None,
        *,
        input_tokens: int | None = None,
        max_output_tokens: int | None = None,
    ) -> Decimal:
        """
        Return the most that a call can cost in USD: what is sent, counted, and the longest answer.

        Pass either the messages or their tokens. Without ``max_output_tokens`` an answer of
        ``config.estimate_output_tokens`` is assumed, and the estimate is no bound. Nothing goes over the network.
        Raise UnknownModelError if no price is known, TypeError and ValueError for what cannot be counted.
        """
        if (messages is None) == (input_tokens is None):
            raise TypeError("estimate() needs either messages or input_tokens.")
        output = self._config.estimate_output_tokens if max_output_tokens is None else max_output_tokens
        output_tokens = token_count(output, "max_output_tokens")
        counted = self.count(model, messages) if input_tokens is None else MessageTokens(input_tokens)
        return to_usd(self.bound(model, counted, output_tokens))

    def count(self, model: str, prompt: object) -> MessageTokens:
        """Return an upper bound of the tokens of a prompt: text, or messages as dicts or SDK objects."""
        return count_messages(_model(model), prompt)

    def bound(self, model: str, prompt: MessageTokens, output_tokens: int, stated: PriceRow | None = None) -> int:
        """Return the most that a call with a prompt and so long an answer can cost, in nano-USD."""
        usage = TokenUsage(prompt.tokens, output_tokens, audio_input_tokens=prompt.audio)
        apart = _ALL if stated is not None or self._has_own_price(_model(model)) else litellm_extras(model)
        return max(self._nanos(model, case, stated) for case in _worst_cases(model, usage, prompt.cache_for, apart))

    def affordable_output_tokens(self, model: str, input_tokens: int, remaining: Amount) -> int:
        """
        Return the longest answer, in tokens, with which the call costs at most ``remaining`` USD.

        0 when the input alone costs that much, or more; at most ``MAX_AFFORDABLE_TOKENS``.
        """
        budget = to_nanos(remaining, "remaining", signed=True)
        if self._nanos(_model(model), TokenUsage(input_tokens, 0)) >= budget:
            return 0
        return _most(lambda tokens: self._nanos(model, TokenUsage(input_tokens, tokens)) <= budget)

    def affordable(self, model: str, prompt: MessageTokens, nanos: int, stated: PriceRow | None = None) -> int:
        """Return the longest answer, in tokens, with which a call can cost at most so many nano-USD. See bound()."""

        def fits(tokens: int) -> bool:
            return self.bound(model, prompt, tokens, stated) <= nanos

        nothing, many = self.bound(model, prompt, 0, stated), self.bound(model, prompt, _MANY, stated)
        if many > nothing:  # most prices are the same for each token: one guess finds it
            guess = min(MAX_AFFORDABLE_TOKENS, max(0, (nanos - nothing) * _MANY // (many - nothing)))
            if fits(guess) and not fits(guess + 1):
                return guess
        return _most(fits)

    def max_output_tokens(self, model: str) -> int | None:
        """Return the longest answer that a model gives, in tokens, as litellm's map has it; None if it has not."""
        return litellm_max_output(_model(model))

    def cost_of(self, response: object, model: str | None = None) -> PricedCall:
        """
        Return what a response cost: of litellm, OpenAI, Anthropic or Gemini, as SDK object or dict.

        Chats, embeddings, images, transcriptions and reranked documents. Of a stream pass the list of its events, or a
        ``StreamedResponse``. ``model`` is what was asked for; without it, or without a price for it, the response's own
        model counts. A cost that litellm left on the response is not used: it may be 0 for a model it does not know.
        What litellm had in its own cache has used nothing and costs 0.
        Raise ValueError for a response without usage or model, UnknownModelError if no price is known.
        """
        if isinstance(response, (list, tuple)):
            response = StreamedResponse(response)
        requested = () if model is None else (_model(model),)
        if is_from_cache(response):
            name = next(iter(requested or model_names(response)), "")
            return PricedCall(name, Decimal(0), TokenUsage(0, 0), is_from_cache=True)
        usage = response.read() if isinstance(response, StreamedResponse) else read_usage(response)
        own = model_names(response)
        if not requested and not own:
            raise ValueError("The response does not name its model; pass model=.")
        try:
            return self.cost_of_usage(usage, *(requested or own))
        except UnknownModelError:
            if not (requested and own):
                raise
            return self.cost_of_usage(usage, *own)

    def cost_of_usage(self, usage: TokenUsage, *names: str, stated: PriceRow | None = None) -> PricedCall:
        """
        Return what a call with this usage cost, under the first of the names that has a price.

        A price that the admin states under any of the names goes before the settings', that before litellm's.
        Raise UnknownModelError if none of them has a price, TypeError and ValueError for what is no name or no usage.

            budget.pricing.cost_of_usage(TokenUsage(1_000, 200), "azure/my-deployment", "gpt-4o")
        """
        if not isinstance(usage, TokenUsage):
            raise TypeError(f"usage must be a TokenUsage, not {type(usage).__name__}: {usage!r:.80}.")
        if not names:
            raise TypeError("cost_of_usage() needs the name of a model after the usage.")
        name, nanos = self._price(tuple(_model(name) for name in names), usage, stated)
        return PricedCall(name, to_usd(nanos), usage)

    def forget(self) -> None:
        """Drop the admin's rows that are kept, so that the next call loads them again."""
        with self._lock:
            self._generation += 1
            self._fresh_until = None

    @property
    def is_fresh(self) -> bool:
        """True if the next call will not load the admin's rows."""
        return self._load_prices is None or self._kept_rows() is not None

    def is_quick(self, models: Iterable[str], prompt: object = "") -> bool:
        """Return whether sums for calls of these models take no millisecond: nothing is to be loaded, or is long."""
        return litellm_is_loaded() and all(map(is_loaded, models)) and is_short(prompt, _SHORT)

    def refresh(self) -> None:
        """Load the admin's rows unless they are fresh; for a thread that may wait, before a call that must not."""
        self._admin_rows()

    def _has_own_price(self, model: str) -> bool:
        return model in self._admin_rows() or model in self._overrides

    def _nanos(self, model: str, usage: TokenUsage, stated: PriceRow | None = None) -> int:
        return self._price((model,), usage, stated)[1]

    def _price(self, names: tuple[str, ...], usage: TokenUsage, stated: PriceRow | None = None) -> tuple[str, int]:
        """Return the first of the names that has a price, and the cost in nano-USD. Raise UnknownModelError."""
        for rows in (self._admin_rows(), self._overrides):
            for name in names:
                row = rows.get(name)
                if row is not None:
                    return name, _row_nanos(name, row, usage)
        if stated is not None:
            return names[0], _row_nanos(names[0], stated, usage)
        reason = None
        for name in names:
            try:
                return name, to_nanos(litellm_cost(name, usage), "cost")
            except UnknownModelError as error:
                reason = error
        raise UnknownModelError(
            f"No price is known for model {names[0]!r}: {reason}. Add a model price in the admin, "
            f"or COREASON_BUDGET['MODEL_PRICE_OVERRIDES'][{names[0]!r}].",
            names[0],
        ) from reason

    def _admin_rows(self) -> Mapping[str, PriceRow]:
        if self._load_prices is None:
            return {}
        rows = self._kept_rows()
        if rows is not None:
            return rows
        generation = self._generation
        rows = self._load_prices()
        with self._lock:
            if generation == self._generation:  # else somebody changed a price while these were read
                self._rows, self._fresh_until = rows, self._clock() + self._config.limits_ttl
        return rows

    def _kept_rows(self) -> Mapping[str, PriceRow] | None:
        with self._lock:
            if self._fresh_until is not None and self._clock() < self._fresh_until:
                return self._rows
            return None


def _most(fits: Callable[[int], bool]) -> int:
    """Return the largest number that fits, at most MAX_AFFORDABLE_TOKENS; 0 if none does."""
    affordable, too_many = 0, 1
    while too_many <= MAX_AFFORDABLE_TOKENS and fits(too_many):
        affordable, too_many = too_many, too_many * 2
    too_many = min(too_many, MAX_AFFORDABLE_TOKENS + 1)
    while too_many - affordable > 1:
        middle = (affordable + too_many) // 2
        affordable, too_many = (middle, too_many) if fits(middle) else (affordable, middle)
    return affordable


def _model(model: object) -> str:
    if not isinstance(model, str):
        raise TypeError(f"model must be a str, not {type(model).__name__}: {model!r:.80}.")
    if not model.strip():
        raise ValueError(f"model must not be empty or blank, got {model!r}.")
    return model


def _row_nanos(model: str, row: PriceRow, usage: TokenUsage) -> int:
    if not row.is_known:
        raise UnknownModelError(
            f"The price of model {model!r} is 0. Mark it as free (in the admin, or with 'free': True in "
            f"COREASON_BUDGET['MODEL_PRICE_OVERRIDES'][{model!r}]) if that is meant.",
            model,
        )
    if usage.is_without_tokens and not row.is_free:
        raise UnknownModelError(
            f"The price of model {model!r} is one of tokens, but the call is billed by images, seconds or searches. "
            "Pass cost=, or remove that price, so that litellm's counts.",
            model,
        )
    return to_nanos(row.cost(usage), "cost")


def _worst_cases(model: str, usage: TokenUsage, cache_for: Collection[str], apart: Collection[str]) -> list[TokenUsage]:
    """Return the ways to bill a call that can be dearer than the plain one: all reasoning, all new in the cache."""
    cases = [usage]
    if "reasoning" in apart:
        cases.append(replace(usage, reasoning_tokens=usage.output_tokens))
    # Claude writes the cache only where a message asks for it; other models may do it by themselves.
    if "cache_write" in apart and (cache_for or "claude" not in model):
        written = usage.input_tokens
        written_1h = written if "1h" in cache_for else 0
        cases += [replace(case, cache_write_tokens=written, cache_write_1h_tokens=written_1h) for case in cases]
    return cases
