"""
What a provider has produced so far, read off its chunks or its whole answer: usage as it says, else counted tokens.

Knows where OpenAI chat completions (and litellm, which speaks them), OpenAI Responses, Anthropic messages and Gemini
put what a model writes. How they tell its usage is in ``pricing``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

from ..exceptions import BudgetError
from ..pricing.fields import getter, look_up, names_in
from ..pricing.streams import StreamedResponse
from ..pricing.tokens import count_output
from ..pricing.usage import TokenUsage

__all__ = ["Produced"]

#: Fields of a delta or of a finished part that hold what a model wrote.
_TEXTS: Final = (
    "content",
    "reasoning_content",
    "reasoning",
    "refusal",
    "text",
    "thinking",
    "partial_json",
    "arguments",
    "name",
    "transcript",
)
#: Fields that hold more of the above, or a delta itself.
_NESTED: Final = ("choices", "candidates", "delta", "message", "parts", "tool_calls", "function", "output")
_IN_ORDER: Final = (*_TEXTS, *_NESTED)
_ALL: Final = frozenset(_IN_ORDER)
_DEEPER: Final = frozenset({*_NESTED, "content"})
_DEEP: Final = 6
#: Events of OpenAI Responses that repeat what their deltas have said.
_REPEATS: Final = ("response.output_item.", "response.content_part.", "response.reasoning_summary_part.")
#: So much text (characters) is kept before it is counted and dropped.
_PIECE: Final = 4_000


class Produced:
    """The usage, the models and the tokens of a call, chunk by chunk. Bounded: text is counted and forgotten."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._streamed = StreamedResponse()
        self._text: list[str] = []
        self._size = 0
        self._tokens = 0
        self.has_begun = False
        self._is_lost = False

    def read(self, chunk: object) -> None:
        """Note what a chunk or an event says."""
        self.has_begun = True
        if self._streamed.add(chunk) is chunk:  # else it repeats, as a whole, what came before
            self._write(chunk)

    def read_whole(self, answer: object) -> None:
        """Note what a whole answer says. What it says of its usage spares counting its text."""
        self.has_begun = True
        if self._streamed.add(answer) is answer and not self.is_exact:
            self._write(answer)

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the model that answers, as far as it has been named."""
        return self._streamed.names

    @property
    def deployment(self) -> str | None:
        """The router's deployment that answers, as far as it has been named."""
        return self._streamed.deployment

    def lose(self) -> None:
        """Note that there is an answer which cannot be read."""
        self._is_lost = True

    def usage(self, input_tokens: int) -> TokenUsage:
        """
        Return the tokens as the provider says, else its input, or that as it was counted, and what was produced.

        Raise BudgetError if an answer was lost: then nobody knows.
        """
        told = self._streamed.tokens
        if told is not None:
            return told
        if self._is_lost:
            raise BudgetError("The answer of the provider cannot be read.")
        self._count()
        return replace(self._streamed.prompt or TokenUsage(input_tokens, 0), output_tokens=self._tokens)

    @property
    def is_exact(self) -> bool:
        """Whether the provider has said what was used."""
        return self._streamed.tokens is not None

    def _write(self, chunk: object) -> None:
        kind = look_up(chunk, "type")
        if isinstance(kind, str) and (kind == "error" or kind.endswith(".done") or kind.startswith(_REPEATS)):
            return
        found: list[str] = []
        _collect(chunk, found)
        self._text += found
        self._size += sum(map(len, found))
        if self._size > _PIECE:
            self._count()

    def _count(self) -> None:
        if self._text:
            self._tokens += count_output(self._model, "".join(self._text))
            self._text.clear()
            self._size = 0


def _collect(part: Any, found: list[str], depth: int = 0) -> None:
    """Add what a model wrote in a chunk or an answer, wherever the provider puts it."""
    if type(part) is list or (isinstance(part, Sequence) and not isinstance(part, (str, bytes))):
        for item in part:
            _collect(item, found, depth)
        return
    known = names_in(part, _ALL)
    if not known or depth > _DEEP:
        return
    get = getter(part)
    for name in filter(known.__contains__, _IN_ORDER) if len(known) > 1 else known:
        value = get(name)
        if isinstance(value, str):
            found.append(value)  # also the delta of a Responses event
        elif value is not None and name in _DEEPER:
            _collect(value, found, depth + 1)
