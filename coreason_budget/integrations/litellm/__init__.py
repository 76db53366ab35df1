"""
litellm on a budget: its own functions, with money held before each call and its exact cost booked after it.

    from coreason_budget.integrations.litellm import completion

    response = completion("gpt-4o", messages, budget_user=user.pk)

Each function takes what litellm's of the same name takes, and returns what that returns. Beside that it takes

- ``budget_user`` and ``budget_project``: who pays; left out, it is whoever pays here (a decorated view, a run);
- ``router``: a ``litellm.Router`` that is to make the call; then ``model`` is one of its model groups;
- ``limit_to_remaining=True`` (chat and Responses): lower the longest answer to what the budget has left, so that even
  the provider cannot overrun it. With room for fewer than ``budget_min_output_tokens`` (default 16) it is refused.

Before anything is sent they raise BudgetExceededError, BudgetUnavailableError, UnknownModelError or MissingUserError;
after that what litellm raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .endpoints import CHAT, EMBEDDING, IMAGE, RERANK, RESPONSES, TRANSCRIPTION
from .twins import twins

__all__ = [
    "acompletion",
    "aembedding",
    "aimage_generation",
    "arerank",
    "aresponses",
    "atranscription",
    "completion",
    "embedding",
    "image_generation",
    "rerank",
    "responses",
    "transcription",
]

if TYPE_CHECKING:  # editors show litellm's own signatures, which take other keywords too
    from litellm import (
        acompletion,
        aembedding,
        aimage_generation,
        arerank,
        aresponses,
        atranscription,
        completion,
        embedding,
        image_generation,
        rerank,
        responses,
        transcription,
    )
else:
    completion, acompletion = twins(CHAT)
    responses, aresponses = twins(RESPONSES)
    embedding, aembedding = twins(EMBEDDING)
    image_generation, aimage_generation = twins(IMAGE)
    transcription, atranscription = twins(TRANSCRIPTION)
    rerank, arerank = twins(RERANK)
