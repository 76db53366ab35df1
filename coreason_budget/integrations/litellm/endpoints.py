"""litellm's functions as far as budgets go: what of their arguments is sent as the prompt, and limits the answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

__all__ = ["CHAT", "EMBEDDING", "IMAGE", "RERANK", "RESPONSES", "TRANSCRIPTION", "Endpoint"]


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One of litellm's functions, by the name of its synchronous form.

    ``prompt`` are the arguments that cost input tokens. ``maxima`` are those that limit the answer, the one to set
    first; without any there is no answer in tokens. A call that is not ``priced_by_tokens`` has no bound in tokens.
    """

    name: str
    prompt: tuple[str, ...]
    maxima: tuple[str, ...] = ()
    priced_by_tokens: bool = True

    def prompt_of(self, arguments: Mapping[str, Any]) -> list[Any]:
        """Return what is sent and paid for."""
        return [_sent(arguments[name]) for name in self.prompt if arguments.get(name) is not None] or [""]

    def maximum_of(self, arguments: Mapping[str, Any]) -> int | None:
        """Return the longest answer that is asked for, in tokens; None leaves it to the provider."""
        if not self.maxima:
            return 0
        given = [arguments[name] for name in self.maxima if isinstance(arguments.get(name), int)]
        return max(given, default=None)

    def lowered(self, arguments: dict[str, Any], longest: int) -> dict[str, Any]:
        """Return the arguments with no answer allowed that is longer than so many tokens."""
        given = [name for name in self.maxima if arguments.get(name) is not None]
        capped = {**arguments, **dict.fromkeys(given or self.maxima[:1], longest)}
        if isinstance(arguments.get("fallbacks"), list):
            capped["fallbacks"] = [self._lowered_fallback(item, longest) for item in arguments["fallbacks"]]
        return capped

    def _lowered_fallback(self, fallback: Any, longest: int) -> Any:
        if not isinstance(fallback, Mapping):
            return fallback
        given = {name: longest for name in self.maxima if fallback.get(name) is not None}
        return {**fallback, **given}


def _sent(value: Any) -> Any:
    """Return an argument as it is sent: a class that describes the answer goes as its schema."""
    schema = getattr(value, "model_json_schema", None)
    return schema() if isinstance(value, type) and callable(schema) else value


CHAT: Final = Endpoint(
    "completion",
    ("messages", "tools", "functions", "response_format", "prediction"),
    ("max_tokens", "max_completion_tokens"),
)
RESPONSES: Final = Endpoint(
    "responses", ("input", "instructions", "prompt", "tools", "text", "text_format"), ("max_output_tokens",)
)
EMBEDDING: Final = Endpoint("embedding", ("input",))
IMAGE: Final = Endpoint("image_generation", ("prompt",), priced_by_tokens=False)
TRANSCRIPTION: Final = Endpoint("transcription", ("prompt",), priced_by_tokens=False)
RERANK: Final = Endpoint("rerank", ("query", "documents"), priced_by_tokens=False)
