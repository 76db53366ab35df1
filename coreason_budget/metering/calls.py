"""``MeteredCall``: one call of a provider. Money is held before it, its cost booked after it, however it ends."""

from __future__ import annotations

import re
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..exceptions import BudgetError, HoldClosedError, UnknownModelError
from ..ledger.steps import Twin
from ..log import logger
from ..money import to_usd
from ..pricing.engine import PricedCall
from ..pricing.responses import model_names, read_usage
from ..pricing.usage import TokenUsage
from ..spends import spend_for, spend_of
from .purse import purse_of
from .quotes import Offer, Quote, Quoter, Request

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..ledger.steps import Operation, Step
    from ..manager import BudgetManager
    from ..reservation import Reservation
    from ..results import Receipt
    from ..spends import Spend
    from .current import Payer
    from .produced import Produced
    from .purse import Draw

__all__ = ["MeteredCall", "Request"]

#: What a provider adds to a model's name: a date or a number.
_VERSION: Final = re.compile(r"(?:[-@:.][0-9.-]+)?")


class MeteredCall:
    """
    The life of one call: ``open``, then ``settle``, ``release`` or ``interrupted``, all of them operations.

    It draws on the hold of whoever pays for it, if there is one that is open, else it makes one of its own.
    """

    def __init__(self, manager: BudgetManager, payer: Payer, request: Request) -> None:
        self.manager = manager
        self.payer = payer
        self.request = request
        self.receipt: Receipt | None = None
        #: What was answered to each try, as far as whoever makes them knows; only the last one may have helped.
        self.tries: list[object] = []
        #: Whether the answer was there before and no provider was asked for it.
        self.is_from_cache = False
        #: The deployment of a router that answers, if its answer itself does not say.
        self.deployment: str | None = None
        self._quoter = Quoter(manager, request, payer.view)
        self._quote = Quote(0)
        self._draw: Draw | None = None
        self._own: Reservation | None = None

    @property
    def model(self) -> str:
        """The model that was asked for."""
        return self.request.models[0]

    @property
    def input_tokens(self) -> int:
        """The tokens of the prompt, as they were counted; an upper bound."""
        return self._quote.input_tokens

    def open(self) -> Operation[int | None]:
        """
        Hold what the call may cost; return the longest answer (tokens) to ask for if it had to be lowered, else None.

        Raise BudgetExceededError, BudgetUnavailableError, or UnknownModelError for a model without a price.
        """
        quote: Quote = yield self._reckoned(self._quoter.quote, self.request.prompt)
        self._quote = quote
        granted = yield from self._hold(quote)
        if quote.max_output_tokens is None:
            return None
        if granted >= quote.amount:
            return quote.max_output_tokens
        try:
            lowered: int = yield Twin(self.manager, "reckon", (partial(self._quoter.affordable, self._quote, granted),))
        except BaseException:  # the caller is cancelled, or goes, before the call was made
            self.abandon()
            raise
        return lowered

    def settle(self, produced: Produced, response: object = None) -> Operation[Receipt]:
        """Book what was produced, and leave or give back the rest of what was held. ``response`` counts only once."""
        spend: Spend = yield self._reckoned(partial(self._spend, produced))
        if response is not None:
            self.manager.booked.remember(response, spend)
        return (yield from self._book(spend, self.tries if self.is_from_cache else self.tries[:-1]))

    def release(self) -> Operation[None]:
        """Give back what was held: nothing came of it. Nothing happens if the call was settled."""
        draw, self._draw = self._draw, None
        if draw is None or self.receipt is not None:
            return
        try:
            yield from self._book_vain(draw, self.tries)
        finally:
            draw.close()
            if self._own is not None:
                yield from self._own.end()

    def interrupted(self) -> Operation[None]:
        """
        End a call that its maker was kept from waiting for: the provider goes on with it, and most likely bills it.

        Nobody will know what it came to, so that it is treated as a hold that nobody settled, by ``EXPIRED_HOLDS``:
        booked with what was held for it, or given back. Otherwise whoever goes in time would never pay.
        """
        if self._draw is None or self.manager.config.expired_holds != "charge":
            yield from self.release()
            return
        held = to_usd(self._draw.amount)
        logger.warning("A call of {} was interrupted; it is booked with the {:f} USD held for it.", self.model, held)
        yield from self._book(spend_of(held, model=self.model), self.tries)

    def hand_over(self) -> None:
        """Have another thread end it, where nothing can be waited for. See interrupted()."""
        self.manager.ledger.database.post(lambda: self.manager.drive(self.interrupted()))

    def abandon(self) -> None:
        """Have what was held given back by another thread, where nothing can be waited for. See release()."""
        draw, self._draw = self._draw, None
        if draw is not None and self.receipt is None:
            draw.close()
            if self._own is not None:
                self._own.abandon()

    @property
    def is_due(self) -> bool:
        """Whether what is held would not be held for much longer."""
        return self._open_draw().is_due

    def renew(self) -> Operation[None]:
        """Have it held for longer."""
        return self._open_draw().renew()

    # holding --------------------------------------------------------------------------------------------------------

    def _hold(self, quote: Quote) -> Operation[int]:
        purse = self.payer.purse
        if purse is not None:
            try:
                self._draw = yield from purse.draw(quote.amount, quote.least)
            except HoldClosedError:
                pass  # it has ended, or Redis has lost it: this call holds its own
            else:
                return self._draw.amount
        self._own = yield from self.manager.hold(*self.payer.accounts, quote.amount, quote.least)
        self._draw = yield from purse_of(self._own).draw(self._own.amount_nanos)
        return self._own.amount_nanos

    def _open_draw(self) -> Draw:
        if self._draw is None:
            raise HoldClosedError("The call has not begun, or has ended.")
        return self._draw

    # what it did cost -----------------------------------------------------------------------------------------------

    def _book(self, spend: Spend, vain: list[object]) -> Operation[Receipt]:
        draw = self._open_draw()
        try:
            yield from self._book_vain(draw, vain)
            self.receipt = yield from draw.book(spend, final=self._own is not None)
        finally:
            draw.close()
        return self.receipt

    def _book_vain(self, draw: Draw, tries: list[object]) -> Operation[None]:
        """Book answers that were thrown away, where they say what they used: the provider bills them all the same."""
        for answer in tries:
            try:
                usage = read_usage(answer)
            except ValueError:
                continue
            cost = partial(self._cost, usage, model_names(answer))
            yield from draw.book(spend_for((yield Twin(self.manager, "reckon", (cost,)))))

    def _reckoned(self, work: Callable[[], Any], prompt: object = "") -> Step:
        return Twin(self.manager, "reckon", (work, self.request.models, prompt))

    def _spend(self, produced: Produced) -> Spend:
        """Return what to book. The money is spent: where no price can be found it is what was held."""
        if self.is_from_cache:
            return spend_for(PricedCall(self.model, to_usd(0), TokenUsage(0, 0), is_from_cache=True))
        try:
            usage = self._completed(produced.usage(self.input_tokens))
            spend = spend_for(self._cost(usage, produced.names, produced.deployment or self.deployment))
        except BudgetError as error:
            held = to_usd(self._quote.amount)
            logger.error("A call of {} is booked with the {:f} USD that were held for it: {}", self.model, held, error)
            return spend_of(held, model=self.model)
        # What broke off, or was only counted, does not tell how long the answer would have been.
        observed = self._quoter.observation(self._quote, usage) if produced.is_exact else None
        return spend if observed is None else replace(spend, observed=observed)

    def _completed(self, usage: TokenUsage) -> TokenUsage:
        """Add what the answer leaves out and the request says: providers do not repeat which images were asked for."""
        expects = self.request.expects
        if expects is None or usage.total_tokens:
            return usage
        if not usage.is_without_tokens:
            raise UnknownModelError("the answer does not say what it is billed by")
        size, quality = usage.image_size or expects.image_size, usage.image_quality or expects.image_quality
        return replace(usage, image_size=size, image_quality=quality)

    def _cost(self, usage: TokenUsage, answered: tuple[str, ...], deployment: str | None = None) -> PricedCall:
        """Return what was used at the price of the model that answered, or that it is a version of."""
        offer = self._offer(answered, deployment)
        names = (*answered, *self.request.models) if offer is None else (offer.model, *answered)
        return self.manager.pricing.cost_of_usage(usage, *names, stated=None if offer is None else offer.price)

    def _offer(self, answered: tuple[str, ...], deployment: str | None) -> Offer | None:
        """Return which of those that may answer did, None if nobody can tell."""
        offers = self.request.of_models()
        if deployment is not None and any(offer.deployment for offer in offers):
            named = next((offer for offer in offers if offer.deployment == deployment), None)
            if named is not None:
                return named
            offers = tuple(offer for offer in offers if offer.deployment is None)
        if offers and offers[0].price is not None and len({offer.price for offer in offers}) == 1:
            return offers[0]  # one price was stated for the call, whoever answers
        versions = [
            offer for offer in offers if not answered or any(_is_version(name, offer.model) for name in answered)
        ]
        return max(versions, key=lambda offer: len(_base(offer.model)), default=None)


def _is_version(answered: str, asked: str) -> bool:
    """Return whether the answering model is the one that was asked for, under a name that tells its version."""
    base, name = _base(asked), answered.rpartition("/")[2]
    return name.startswith(base) and _VERSION.fullmatch(name.removeprefix(base)) is not None


def _base(model: str) -> str:
    return model.rpartition("/")[2].removesuffix("-latest")
