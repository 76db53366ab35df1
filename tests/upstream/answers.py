"""What a test has the upstream do with one request: texts, tokens, where it breaks, what it waits for."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from dataclasses import dataclass, field
from typing import Final, Literal

__all__ = ["PIECES", "Answer", "Break", "Gate", "Tokens", "ToolCall"]

# Each is one token of the encoding of gpt-4, together and alone.
PIECES: Final = ("Six", " times", " seven", " is", " forty", "-two", ".")


@dataclass(frozen=True, slots=True)
class Tokens:
    """
    What is billed beside the pieces of the text, each of which is one token.

    ``input`` is the whole prompt, with what is cached, written to the cache, audio and images; ``None`` counts the
    words of the request. Reasoning, audio and images of the answer come before its first piece, for each choice.
    """

    input: int | None = None
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    audio_input: int = 0
    image_input: int = 0
    reasoning: int = 0
    audio_output: int = 0
    image_output: int = 0


@dataclass(frozen=True, slots=True)
class ToolCall:
    """A call of a tool, its arguments (JSON) in pieces; each piece is one token."""

    name: str
    arguments: tuple[str, ...] = ('{"city"', ': "Bonn"}')


@dataclass(frozen=True, slots=True)
class Break:
    """
    How an answer breaks off, after so many pieces.

    ``cut`` drops the connection, ``error`` sends the provider's error event (of a plain answer: status 500),
    ``malformed`` sends half an event or half a body, ``failed`` is the end that only OpenAI Responses knows.
    """

    how: Literal["cut", "error", "malformed", "failed"]
    after: int = 2


class Gate:
    """
    Holds an answer up before a piece until the test opens it, or until the client is gone.

    A test that hangs up does so before it opens the gate: then the provider has produced the pieces before it.
    """

    def __init__(self, before: int = 2) -> None:
        self.before = before
        self.reached = threading.Event()
        self.opened: Future[None] = Future()
        self._lock = threading.Lock()

    def open(self) -> None:
        """Let the answer go on."""
        with self._lock:
            if not self.opened.done():
                self.opened.set_result(None)

    def wait(self, timeout: float = 15) -> None:
        """Wait until an answer stands before the gate. Raise TimeoutError if none comes."""
        if not self.reached.wait(timeout):
            raise TimeoutError(f"No answer came to the gate within {timeout} s.")


@dataclass(frozen=True, slots=True)
class Answer:
    """
    What the upstream does with one request.

    ``model`` is what the answer calls itself (else what was asked for); ``reports_usage=False`` leaves the usage out
    of plain answers and streams alike. ``seconds`` is how long a transcribed recording was. Its ``max_tokens`` a
    request says itself, under any provider's name for it; the answer ends there.
    """

    pieces: tuple[str, ...] = PIECES
    tokens: Tokens = field(default_factory=Tokens)
    tools: tuple[ToolCall, ...] = ()
    model: str | None = None
    service_tier: str | None = None
    reports_usage: bool = True
    breaks: Break | None = None
    gate: Gate | None = None
    status: int = 200
    retry_after: str | None = None
    seconds: float | None = None

    @classmethod
    def refused(cls, status: int = 429, retry_after: str | None = "0") -> Answer:
        """Return the answer of a provider that refuses: 429, or 500 and above for its own trouble."""
        return cls(status=status, retry_after=retry_after)
