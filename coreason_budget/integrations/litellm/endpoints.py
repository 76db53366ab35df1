"""litellm's functions as far as budgets go: what of their arguments is sent as the prompt, and limits the answer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...pricing.usage import TokenUsage

if TYPE_CHECKING:
    from collections.abc import Callable

from collections.abc import Mapping

__all__ = ["CHAT", "EMBEDDING", "IMAGE", "RERANK", "RESPONSES", "TRANSCRIPTION", "Endpoint"]

#: How long a recording is taken to be (seconds): nobody knows before it was listened to.
_LONG: Final = 600
#: So many documents are one search to Cohere, which litellm bills all of them by.
_DOCUMENTS: Final = 100


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    One of litellm's functions, by the name of its synchronous form.

    ``prompt`` are the arguments that cost input tokens. ``maxima`` are those that limit the answer, the one to set
    first; without any there is no answer in tokens. ``expects`` says what else than tokens of text a call is billed by.
    """

    name: str
    prompt: tuple[str, ...]
    maxima: tuple[str, ...] = ()
    expects: Callable[[Mapping[str, Any]], TokenUsage] | None = None

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


def _images(arguments: Mapping[str, Any]) -> TokenUsage:
    size, quality = (arguments.get(name) for name in ("size", "quality"))
    return TokenUsage(
        0,
        0,
        images=arguments.get("n") or 1,
        image_size=None if size is None else str(size),
        image_quality=None if quality is None else str(quality),
    )


def _recording(_: Mapping[str, Any]) -> TokenUsage:
    return TokenUsage(0, 0, audio_seconds=_LONG)


def _searches(arguments: Mapping[str, Any]) -> TokenUsage:
    documents = arguments.get("documents")
    count = len(documents) if isinstance(documents, (list, tuple)) else 1
    return TokenUsage(0, 0, search_units=max(1, -(-count // _DOCUMENTS)))


CHAT: Final = Endpoint(
    "completion",
    ("messages", "tools", "functions", "response_format", "prediction"),
    ("max_tokens", "max_completion_tokens"),
)
RESPONSES: Final = Endpoint(
    "responses", ("input", "instructions", "prompt", "tools", "text", "text_format"), ("max_output_tokens",)
)
EMBEDDING: Final = Endpoint("embedding", ("input",))
IMAGE: Final = Endpoint("image_generation", ("prompt",), expects=_images)
TRANSCRIPTION: Final = Endpoint("transcription", ("prompt",), expects=_recording)
RERANK: Final = Endpoint("rerank", ("query", "documents"), expects=_searches)
