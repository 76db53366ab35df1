"""
The clients of ``openai`` on a budget.

    from coreason_budget.integrations.openai import wrap

    client = wrap(openai.OpenAI())

The calls of chat completions, completions, Responses and embeddings are held for before they are sent and booked after
that, with everything that is made from them: ``parse()``, streams, stream helpers, raw and streaming responses. All
other calls pass through and cost nothing here: batches, images, audio, Assistants, Realtime, fine-tuning.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import openai

from .sdk.clients import Sdk, Terms, wrapped
from .sdk.endpoints import Endpoint

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["wrap"]

Client = TypeVar("Client", bound=openai.OpenAI | openai.AsyncOpenAI)

_SDK: Final = Sdk(
    "openai",
    openai.OpenAI,
    openai.AsyncOpenAI,
    absent=(openai.Omit, openai.NotGiven),
    named_freely=(openai.AzureOpenAI, openai.AsyncAzureOpenAI),  # they call models by the names of deployments
    endpoints=(
        Endpoint(
            "/chat/completions",
            prompt=("messages", "tools", "functions", "response_format", "prediction"),
            limits=("max_completion_tokens", "max_tokens"),
            choices=("n",),
            asks_usage=True,
        ),
        Endpoint(
            "/completions",
            prompt=("prompt", "suffix"),
            limits=("max_tokens",),
            choices=("n", "best_of"),
            asks_usage=True,
        ),
        Endpoint(
            "/responses",
            prompt=("instructions", "input", "prompt", "tools", "text"),
            limits=("max_output_tokens",),
        ),
        Endpoint("/responses/compact", prompt=("instructions", "input")),
        Endpoint("/embeddings", prompt=("input",)),
    ),
)


def wrap(
    client: Client,
    *,
    user: str | int | UUID | None = None,
    project: str | int | UUID | None = None,
    limit_to_remaining: bool = False,
) -> Client:
    """
    Put the calls of a client (``OpenAI``, ``AsyncOpenAI``, those for Azure) on a budget, and return the same client.

    ``user`` and ``project`` pay for all of its calls; left out, it is whoever pays where a call is made: the decorated
    view, run or task. With ``limit_to_remaining`` the longest answer is lowered to what the budget has left, so that
    even the provider cannot overrun it; with room for fewer than 16 tokens the call is refused.
    Copies (``with_options()``) are wrapped on the same terms; ``wrap(client.with_options(), user=...)`` gives one
    terms of its own.

    Raise TypeError for what is no such client, ValueError for one that was wrapped on other terms. Its calls raise
    BudgetExceededError, BudgetUnavailableError, UnknownModelError or MissingUserError before anything is sent.
    """
    return wrapped(client, _SDK, Terms.of(user, project, limit_to_remaining=limit_to_remaining))
