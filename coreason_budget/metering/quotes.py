"""What to hold for a call before it is made: what it may cost, what such calls come to, or what the budget can pay."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..exceptions import UnknownModelError
from ..money import to_nanos
from ..pricing.usage import TokenUsage
from .learned import LearnKey, learner_of

if TYPE_CHECKING:
    from ..ledger.observations import Observation
    from ..manager import BudgetManager
    from ..pricing.prices import PriceRow
    from ..pricing.tokens import MessageTokens

__all__ = ["Offer", "Quote", "Quoter", "Request"]


@dataclass(frozen=True, slots=True)
class Offer:
    """A model that may answer, the price that comes with the call, and of which of a router's deployments that is."""

    model: str
    price: PriceRow | None = None
    deployment: str | None = None


@dataclass(frozen=True, slots=True)
class Request:
    """
    What a call asks of a provider, as far as its price goes.

    Any of ``models`` may answer; ``offers`` are the same with prices that come with the call. ``prompt`` is all that is
    sent: messages, tools, instructions. ``max_output_tokens`` is for each of ``choices`` answers; None leaves it to the
    provider. ``expects`` is what a call is billed by that is not billed by such tokens: images, a recording, a search.
    With ``amount`` (nano-USD) that is held instead of an estimate. With ``fits`` the longest answer is lowered to what
    the budget has left, but not below so many tokens for each choice.
    """

    models: tuple[str, ...]
    prompt: object = ""
    max_output_tokens: int | None = None
    choices: int = 1
    expects: TokenUsage | None = None
    amount: int | None = None
    fits: int | None = None
    offers: tuple[Offer, ...] = ()

    def of_models(self) -> tuple[Offer, ...]:
        """Return the models that may answer, with their prices."""
        return self.offers or tuple(map(Offer, self.models))


@dataclass(frozen=True, slots=True)
class Quote:
    """
    What to hold for a call: an amount, and the least that will do (None: all of it), in nano-USD.

    ``max_output_tokens`` is the longest answer to ask for if it is to be lowered, ``expected`` the one provided for.
    """

    amount: int
    least: int | None = None
    prompt: tuple[MessageTokens, ...] = ()
    max_output_tokens: int | None = None
    expected: int = 0

    @property
    def input_tokens(self) -> int:
        """The tokens of the prompt, as they were counted for the models that may answer; an upper bound."""
        return _longest(self.prompt)


class Quoter:
    """Does the sums for one call, and says what it has taught."""

    def __init__(self, manager: BudgetManager, request: Request, view: str) -> None:
        self._manager = manager
        self._pricing = manager.pricing
        self._request = request
        self._offers = request.of_models()
        self._key = LearnKey(request.models[0], view)

    def quote(self) -> Quote:
        """Return what to hold. Raise UnknownModelError for a model without a price."""
        request, pricing = self._request, self._pricing
        if request.expects is not None:
            amount = max(self._expense(offer, request.expects) for offer in self._offers)
            return Quote(amount if request.amount is None else request.amount)
        if request.amount is not None:
            return Quote(request.amount)
        counted = {model: pricing.count(model, request.prompt) for model in {offer.model for offer in self._offers}}
        prompt = tuple(counted[offer.model] for offer in self._offers)
        if request.fits is None:
            expected = self._expected(prompt)
            return Quote(self._bound(prompt, expected), None, prompt, expected=expected)
        longest = request.max_output_tokens or pricing.max_output_tokens(request.models[0]) or self._expected(prompt)
        least = min(request.fits, longest)
        return Quote(self._bound(prompt, longest), self._bound(prompt, least), prompt, longest)

    def affordable(self, quote: Quote, granted: int) -> int:
        """Return the longest answer that can be paid by what is held (nano-USD), in tokens for each choice."""
        each = (
            self._pricing.affordable(offer.model, counted, granted, offer.price) // self._request.choices
            for offer, counted in zip(self._offers, quote.prompt, strict=True)
        )
        return min(each)

    def observation(self, quote: Quote, usage: TokenUsage) -> Observation | None:
        """Return what the charge of the call is to carry, None if it teaches nothing of the length of answers."""
        if self._request.max_output_tokens is not None or not quote.expected:
            return None
        length = -(-usage.output_tokens // self._request.choices)
        return learner_of(self._manager).observation(self._key, quote.input_tokens, length, expected=quote.expected)

    def _expense(self, offer: Offer, expects: TokenUsage) -> int:
        """Return what is expected to be billed, in nano-USD; it is not known of a model that bills tokens instead."""
        pricing = self._pricing
        try:
            return to_nanos(pricing.cost_of_usage(expects, offer.model, stated=offer.price).cost_usd, "cost")
        except UnknownModelError:
            some = TokenUsage(1, 1, image_output_tokens=min(1, expects.images), images=expects.images)
            pricing.cost_of_usage(some, offer.model, stated=offer.price)
            return to_nanos(self._manager.config.default_hold_usd, "DEFAULT_HOLD_USD")

    def _expected(self, prompt: tuple[MessageTokens, ...]) -> int:
        """Return the longest answer that is provided for, in tokens for each choice."""
        if self._request.max_output_tokens is not None:
            return self._request.max_output_tokens
        return learner_of(self._manager).output_tokens(self._key, _longest(prompt))

    def _bound(self, prompt: tuple[MessageTokens, ...], output_tokens: int) -> int:
        tokens = output_tokens * self._request.choices
        costs = (
            self._pricing.bound(offer.model, counted, tokens, offer.price)
            for offer, counted in zip(self._offers, prompt, strict=True)
        )
        return max(costs)


def _longest(prompt: tuple[MessageTokens, ...]) -> int:
    return max((counted.tokens for counted in prompt), default=0)
