"""One LLM call on a budget: hold what it may cost, ask the model, charge what it did cost."""

from __future__ import annotations

import logging
import os
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from coreason_budget import BudgetExceededError, service

if TYPE_CHECKING:
    from decimal import Decimal

    from .traffic import Tokens

__all__ = ["Call", "Outcome", "load_litellm", "price_of", "send"]

SHORTEST_MAXIMUM: Final = 64


@dataclass(frozen=True, slots=True)
class Call:
    """Who asks which model how much, and for which project."""

    user_id: str
    project_id: str
    model: str
    tokens: Tokens

    @property
    def max_tokens(self) -> int:
        """The maximum that the caller asks for: the next power of two, as if it had an idea of what it needs."""
        return max(SHORTEST_MAXIMUM, 1 << (self.tokens.answer - 1).bit_length())


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a call: its cost in USD, or the scope whose budget refused it."""

    call: Call
    cost: Decimal | None
    refused_by: str | None = None


def send(call: Call) -> Outcome:
    """Make a call if the budgets of its user, its project and the site allow it."""
    estimate = service.manager().pricing.estimate(
        call.model, input_tokens=call.tokens.prompt, max_output_tokens=call.max_tokens
    )
    try:
        with service.reservation(call.user_id, call.project_id, amount=estimate) as hold:
            receipt = hold.charge(_ask(call), final=True)
    except BudgetExceededError as error:
        return Outcome(call, None, error.scope)
    return Outcome(call, receipt.cost)


def price_of(call: Call) -> Decimal:
    """Return what a call costs in USD, without making it."""
    return service.manager().pricing.calculate(call.model, call.tokens.prompt, call.tokens.answer)


@cache
def load_litellm() -> Any:
    """Import litellm, with the price list that it brings along and without its chatter. It takes seconds."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # or the import asks the network for a newer list
    litellm: Any = import_module("litellm")
    litellm.suppress_debug_info = True
    logging.getLogger("LiteLLM").setLevel(logging.ERROR)
    return litellm


def _ask(call: Call) -> object:
    """Answer as the model would, without asking it: litellm's mock, with the usage of the traffic."""
    litellm = load_litellm()
    response = litellm.completion(
        model=call.model,
        messages=[{"role": "user", "content": "How much is left?"}],
        max_tokens=call.max_tokens,
        mock_response="Enough.",
    )
    prompt, answer = call.tokens.prompt, call.tokens.answer
    response.usage = litellm.Usage(prompt_tokens=prompt, completion_tokens=answer, total_tokens=prompt + answer)
    return response
