"""
What a provider has produced so far, read off its chunks or its whole answer: usage as it says, else counted tokens.

Knows the shapes of OpenAI chat completions (and litellm, which speaks them), OpenAI Responses and Anthropic messages.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..pricing.responses import model_names, read_usage
from ..pricing.tokens import count_output
from ..pricing.usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Iterator

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
_NESTED: Final = ("choices", "delta", "message", "tool_calls", "function", "output")
_DEEP: Final = 6
#: Events of OpenAI Responses that repeat what their deltas have said.
_REPEATS: Final = ("response.output_item.", "response.content_part.", "response.reasoning_summary_part.")
#: What Anthropic counts as input apart.
_INPUTS: Final = ("input_tokens", "cache_read_input_tokens", "cache_creation_input_tokens")
#: So much text (characters) is kept before it is counted and dropped.
_PIECE: Final = 4_000


class Produced:
    """The usage, the models and the tokens of a call, chunk by chunk. Bounded: text is counted and forgotten."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._usage: TokenUsage | None = None
        self._started: Mapping[str, Any] = {}
        self._text: list[str] = []
        self._size = 0
        self._tokens = 0
        self.names: tuple[str, ...] = ()
        self.has_begun = False

    def read(self, chunk: object) -> None:
        """Note what a chunk, an event or a whole answer says."""
        self.has_begun = True
        kind = _get(chunk, "type")
        kind = kind if isinstance(kind, str) else ""
        holder = _get(chunk, "message") if kind == "message_start" else _get(chunk, "response")
        holder = chunk if holder is None or isinstance(holder, str) else holder
        self.names = model_names(holder) or self.names
        self._read_usage(holder, kind)
        if holder is chunk and kind != "error" and not kind.endswith(".done") and not kind.startswith(_REPEATS):
            self._write(chunk)

    def usage(self, input_tokens: int) -> TokenUsage:
        """Return the tokens as the provider says, else the input as it was counted and what was produced so far."""
        if self._usage is not None:
            return self._usage
        self._count()
        return TokenUsage(self._input(input_tokens), self._tokens)

    @property
    def is_exact(self) -> bool:
        """Whether the provider has said what was used."""
        return self._usage is not None

    def _read_usage(self, holder: object, kind: str) -> None:
        if kind == "message_start":  # Anthropic says the input first; the output is not finished
            self._started = _fields(_get(holder, "usage"))
            return
        usage = _get(holder, "usage")
        if usage is None:
            return
        if kind == "message_delta":
            stated = {key: value for key, value in _fields(usage).items() if value is not None}
            holder = {"usage": {**self._started, **stated}}
        try:
            self._usage = read_usage(holder)
        except ValueError:  # it is there and says nothing, as litellm fills it in
            return

    def _input(self, counted: int) -> int:
        stated = [self._started.get(key) for key in _INPUTS]
        return sum(value for value in stated if isinstance(value, int)) or counted

    def _write(self, chunk: object) -> None:
        for text in _texts(chunk):
            self._text.append(text)
            self._size += len(text)
        if self._size > _PIECE:
            self._count()

    def _count(self) -> None:
        if self._text:
            self._tokens += count_output(self._model, "".join(self._text))
            self._text.clear()
            self._size = 0


def _texts(part: object, depth: int = 0) -> Iterator[str]:
    """Yield what a model wrote in a chunk or an answer, wherever the provider puts it."""
    if depth > _DEEP:
        return
    if isinstance(part, Sequence) and not isinstance(part, (str, bytes)):
        for item in part:
            yield from _texts(item, depth)
        return
    for name in _TEXTS:
        value = _get(part, name)
        if isinstance(value, str):
            yield value
        elif value is not None and name == "content":
            yield from _texts(value, depth + 1)
    for name in _NESTED:
        value = _get(part, name)
        if isinstance(value, str):
            yield value  # the delta of a Responses event
        elif value is not None:
            yield from _texts(value, depth + 1)


def _fields(usage: object) -> Mapping[str, Any]:
    if isinstance(usage, Mapping):
        return usage
    dump = getattr(usage, "model_dump", None)
    return dump() if callable(dump) else {}


def _get(holder: object, name: str) -> Any:
    return holder.get(name) if isinstance(holder, Mapping) else getattr(holder, name, None)
