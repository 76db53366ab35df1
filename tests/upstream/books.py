"""The upstream's books: what came in, and what was produced for it."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from coreason_budget.pricing import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["Ending", "Exchange", "Produced"]

Ending = Literal["complete", "broken", "left", "refused"]


@dataclass(slots=True)
class Produced:
    """
    What a call has made the upstream do so far, as a provider bills it; it grows while a stream runs.

    ``images``, ``seconds`` and ``searches`` are of calls that are not billed by tokens.
    """

    model: str
    input_tokens: int
    output_tokens: int = 0
    cached: int = 0
    cache_write: int = 0
    cache_write_1h: int = 0
    reasoning: int = 0
    audio_input: int = 0
    audio_output: int = 0
    image_input: int = 0
    image_output: int = 0
    service_tier: str | None = None
    images: int = 0
    seconds: float = 0
    searches: int = 0

    @property
    def usage(self) -> TokenUsage:
        """The tokens, as the package counts them."""
        return TokenUsage(
            self.input_tokens,
            self.output_tokens,
            cached_input_tokens=self.cached,
            cache_write_tokens=self.cache_write,
            cache_write_1h_tokens=self.cache_write_1h,
            reasoning_tokens=self.reasoning,
            audio_input_tokens=self.audio_input,
            audio_output_tokens=self.audio_output,
            image_input_tokens=self.image_input,
            image_output_tokens=self.image_output,
            service_tier=self.service_tier,
        )


@dataclass(slots=True)
class Exchange:
    """
    One request and what became of it.

    ``produced`` is None where the provider did nothing that it bills. ``ending`` is None while the answer goes on,
    then ``complete``, ``broken`` (by the answer's own break), ``left`` (the client hung up) or ``refused``.
    """

    method: str
    path: str
    headers: Mapping[str, str]
    body: Any
    produced: Produced | None = None
    status: int | None = None
    ending: Ending | None = None
    _over: threading.Event = field(default_factory=threading.Event)

    def end(self, ending: Ending) -> None:
        """Close the line."""
        self.ending = self.ending or ending
        self._over.set()

    def wait(self, timeout: float = 15) -> Exchange:
        """Wait until the answer is over. Raise TimeoutError if it is not."""
        if not self._over.wait(timeout):
            raise TimeoutError(f"The answer to {self.path} was not over within {timeout} s.")
        return self
