"""Who answers in the chat: a real model through litellm if the site has a key for one, else a make-believe one."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.utils.translation import gettext as _

from coreason_budget import service
from coreason_budget.integrations.litellm import acompletion, completion

from . import pretender
from .calls import load_litellm

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence
    from decimal import Decimal

__all__ = ["MAX_TOKENS", "Message", "ModelError", "Reply", "estimate", "is_make_believe", "model_name"]

MAX_TOKENS: Final = 200  # of an answer: the provider stops there, so a hold for that many always covers the cost
PROVIDER_TIMEOUT: Final = 60  # seconds

logger = logging.getLogger(__name__)

Message = dict[str, str]


class ModelError(Exception):
    """The model gave no answer, or only a part of one. The message is for the visitor."""


def is_make_believe() -> bool:
    """Return whether the model is the make-believe one."""
    return not getattr(settings, "CHAT_MODEL", None)


def model_name() -> str:
    """Return the model that answers, or the one whose price the make-believe one has."""
    return getattr(settings, "CHAT_MODEL", None) or pretender.PRICED_AS


def estimate(messages: Sequence[Message]) -> Decimal:
    """Return the most that the answer to these messages can cost, in USD."""
    return service.pricing().estimate(model_name(), messages, max_output_tokens=MAX_TOKENS)


class Reply:
    """One answer, on the budget of whoever asks: its text so far."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.text = ""
        self._messages = list(messages)

    def complete(self) -> str:
        """Wait for the whole answer and return it. Raise ModelError."""
        from openai import OpenAIError  # the base of all of litellm's errors

        load_litellm()
        try:
            with completion(**self._call(), stream=True) as chunks:
                for chunk in chunks:
                    self.text += _text(chunk)
        except OpenAIError as error:
            raise self._told(error) from error
        return self.text

    async def stream(self) -> AsyncGenerator[str, None]:
        """Yield the answer in pieces, as they come. Raise ModelError, maybe after some of them."""
        await asyncio.to_thread(load_litellm)
        from openai import OpenAIError

        try:
            async with await acompletion(**self._call(), stream=True) as chunks:  # closed when nobody listens any more
                async for chunk in chunks:
                    if piece := _text(chunk):
                        self.text += piece
                        yield piece
                        await asyncio.sleep(_delay())
        except OpenAIError as error:
            raise self._told(error) from error

    def _call(self) -> dict[str, Any]:
        call = {
            "model": model_name(),
            "messages": self._messages,
            "max_tokens": MAX_TOKENS,
            "timeout": PROVIDER_TIMEOUT,
            "num_retries": 0,
        }
        if is_make_believe():
            call["mock_response"] = pretender.answer(self._messages)  # litellm says it, and asks nobody
        return call

    def _told(self, error: Exception) -> ModelError:
        logger.warning("%s failed: %s", model_name(), error)
        if self.text:
            return ModelError(_("The model stopped in the middle of its answer. Only what it wrote is charged."))
        return ModelError(_("The model did not answer. Nothing was charged. Please try again."))


def _text(chunk: Any) -> str:
    return (chunk.choices[0].delta.content or "") if chunk.choices else ""


def _delay() -> float:
    """Return how long to wait after each piece, in seconds: the make-believe model has said them all at once."""
    return getattr(settings, "CHAT_PIECE_DELAY", 0) if is_make_believe() else 0
