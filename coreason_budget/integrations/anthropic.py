"""
The clients of ``anthropic`` on a budget.

    from coreason_budget.integrations.anthropic import wrap

    client = wrap(anthropic.Anthropic())

The calls of messages, also those of ``beta``, are held for before they are sent and booked after that, with everything
that is made from them: ``parse()``, streams, stream helpers, tool runners, raw and streaming responses. All other calls
pass through and cost nothing here: batches of messages, counting tokens, files, sessions of agents.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, TypeVar

import anthropic

from .sdk.clients import Sdk, Terms, wrapped
from .sdk.endpoints import Endpoint

if TYPE_CHECKING:
    from uuid import UUID

__all__ = ["wrap"]

Client = TypeVar("Client", bound=anthropic.Anthropic | anthropic.AsyncAnthropic)

_SDK: Final = Sdk(
    "anthropic",
    anthropic.Anthropic,
    anthropic.AsyncAnthropic,
    absent=(anthropic.Omit, anthropic.NotGiven),
    endpoints=(
        Endpoint("/v1/messages", prompt=("system", "messages", "tools", "output_config"), limits=("max_tokens",)),
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
    Put the calls of a client (``Anthropic``, ``AsyncAnthropic``) on a budget, and return the same client.

    See ``coreason_budget.integrations.openai.wrap()``: arguments and errors are the same.
    """
    return wrapped(client, _SDK, Terms.of(user, project, limit_to_remaining=limit_to_remaining))
