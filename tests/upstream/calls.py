"""One call under way: the request, the answer meant for it, and what of it has been produced."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from .books import Produced

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .answers import Answer

__all__ = ["Call", "Piece", "words"]

_LIMITS: Final = ("max_tokens", "max_completion_tokens", "max_output_tokens", "maxOutputTokens")
_TEXTS: Final = frozenset({"content", "documents", "input", "instructions", "prompt", "query", "system", "text"})


@dataclass(frozen=True, slots=True)
class Piece:
    """One token of the visible answer: of the text, or of the arguments of the tool at this place."""

    text: str
    tool: int | None = None
    opens: bool = False


class Call:
    """
    A request with its answer, cut to the maximum of tokens that the request names.

    ``sent`` pieces have been produced for each of ``choices``; ``produced`` is the line of the books.
    """

    def __init__(self, body: Any, answer: Answer, model: str) -> None:
        self.body: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
        self.answer = answer
        self.model = answer.model or model
        self.choices = int(self.body.get("n") or 1)
        self.sent = 0
        limit = self._limit()
        tokens = answer.tokens
        pieces = list(self._pieces())
        self._hidden = tokens.reasoning + tokens.audio_output + tokens.image_output
        self.reasoning = tokens.reasoning
        self.is_cut_short = limit is not None and self._hidden + len(pieces) > limit
        if limit is not None and self.is_cut_short:
            pieces = pieces[: max(0, limit - self._hidden)]
            self._hidden = min(self._hidden, limit)
            self.reasoning = min(self.reasoning, limit)
        self.pieces = tuple(pieces)
        self.produced = Produced(
            self.model,
            words(self.body) if tokens.input is None else tokens.input,
            cached=tokens.cached,
            cache_write=tokens.cache_write,
            cache_write_1h=tokens.cache_write_1h,
            audio_input=tokens.audio_input,
            image_input=tokens.image_input,
            service_tier=answer.service_tier,
        )

    @property
    def text(self) -> str:
        """The text of the answer, as far as its pieces go."""
        return "".join(piece.text for piece in self.pieces if piece.tool is None)

    def arguments(self, tool: int) -> str:
        """Return the arguments of a tool, as far as the pieces go."""
        return "".join(piece.text for piece in self.pieces if piece.tool == tool)

    @property
    def tools(self) -> list[tuple[int, str]]:
        """The places and names of the tools that are called."""
        reached = {piece.tool for piece in self.pieces}
        return [(place, tool.name) for place, tool in enumerate(self.answer.tools) if place in reached]

    def begin(self) -> None:
        """Book what comes before the first piece."""
        tokens = self.answer.tokens
        self.produced.reasoning = self.reasoning * self.choices
        self.produced.audio_output = tokens.audio_output * self.choices
        self.produced.image_output = tokens.image_output * self.choices
        self._book()

    def advance(self) -> None:
        """Book a piece, for each choice."""
        self.sent += 1
        self._book()

    def finish(self) -> None:
        """Book all pieces: a plain answer is made as a whole."""
        self.begin()
        self.sent = len(self.pieces)
        self._book()

    def _book(self) -> None:
        self.produced.output_tokens = (self._hidden + self.sent) * self.choices

    def _limit(self) -> int | None:
        config = self.body.get("generationConfig")
        for holder in (self.body, config if isinstance(config, Mapping) else {}):
            for name in _LIMITS:
                if holder.get(name) is not None:
                    return int(holder[name])
        return None

    def _pieces(self) -> Iterator[Piece]:
        if not self.answer.tools:
            yield from (Piece(text) for text in self.answer.pieces)
        for place, tool in enumerate(self.answer.tools):
            yield from (Piece(text, place, opens=not number) for number, text in enumerate(tool.arguments))


def words(value: object, key: str = "") -> int:
    """Return how many words the texts of a request have: each is a token, and no framing costs anything."""
    if isinstance(value, str):
        return len(value.split()) if key in _TEXTS else 0
    if isinstance(value, Mapping):
        return sum(words(item, name) for name, item in value.items())
    if isinstance(value, list):
        return sum(words(item, key) for item in value)
    return 0
