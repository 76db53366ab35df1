"""Who answers in the chat: a real model through litellm if the site has a key for one, else a make-believe one."""

from __future__ import annotations

import logging
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

from django.conf import settings
from django.utils.translation import gettext as _

from coreason_budget import service

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
    """One answer: its text so far, and what it has used so far."""

    def __init__(self, messages: Sequence[Message]) -> None:
        self.model = model_name()
        self.text = ""
        self._messages = list(messages)
        self._usage: object = None
        self._begun = False

    @property
    def response(self) -> dict[str, Any] | None:
        """
        What the budget is charged: the model and its usage; None if the model was never reached.

        The provider tells the usage at the end. Of an answer that was broken off, the tokens are counted here.
        """
        if not self._begun:
            return None
        return {"model": self.model, "usage": self._usage or self._count()}

    def complete(self) -> str:
        """Wait for the whole answer and return it. Raise ModelError."""
        if is_make_believe():
            self._begun = True
            self.text = "".join(pretender.words(self._messages))
            return self.text
        from openai import OpenAIError  # the base of all of litellm's errors

        try:
            answer = load_litellm().completion(**self._call())
        except OpenAIError as error:
            raise self._told(error) from error
        self._begun, self._usage = True, answer.usage
        self.text = answer.choices[0].message.content or ""
        return self.text

    async def stream(self) -> AsyncGenerator[str, None]:
        """Yield the answer in pieces, as they come. Raise ModelError, maybe after some of them."""
        async with aclosing(self._pretend() if is_make_believe() else self._ask()) as pieces:
            async for piece in pieces:
                self.text += piece
                yield piece

    async def _pretend(self) -> AsyncGenerator[str, None]:
        self._begun = True
        async for word in pretender.spoken(self._messages, getattr(settings, "CHAT_WORD_DELAY", 0)):
            yield word

    async def _ask(self) -> AsyncGenerator[str, None]:
        from openai import OpenAIError  # the base of all of litellm's errors

        try:
            answer = await load_litellm().acompletion(
                **self._call(), stream=True, stream_options={"include_usage": True}
            )
            self._begun = True
            async with aclosing(answer) as chunks:  # or the provider goes on when nobody listens any more
                async for chunk in chunks:
                    self._usage = getattr(chunk, "usage", None) or self._usage
                    piece = chunk.choices[0].delta.content if chunk.choices else None
                    if piece:
                        yield piece
        except OpenAIError as error:
            raise self._told(error) from error

    def _call(self) -> dict[str, Any]:
        return {
            "model": self.model,
            "messages": self._messages,
            "max_tokens": MAX_TOKENS,
            "timeout": PROVIDER_TIMEOUT,
            "num_retries": 0,
        }

    def _count(self) -> dict[str, int]:
        count = load_litellm().token_counter
        prompt, answer = count(model=self.model, messages=self._messages), count(model=self.model, text=self.text)
        return {"prompt_tokens": prompt, "completion_tokens": answer, "total_tokens": prompt + answer}

    def _told(self, error: Exception) -> ModelError:
        logger.warning("%s failed: %s", self.model, error)
        if self._begun:
            return ModelError(_("The model stopped in the middle of its answer. Only what it wrote is charged."))
        return ModelError(_("The model did not answer. Nothing was charged. Please try again."))
