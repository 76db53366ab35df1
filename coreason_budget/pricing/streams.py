"""``StreamedResponse``: what the events of a stream, of any provider, have told of its model and its usage so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from .fields import getter, label, look_up, names_in, text_of
from .media import read_media
from .responses import model_names, read_usage, usage_holder
from .searches import web_searches

if TYPE_CHECKING:
    from collections.abc import Iterable

    from .usage import TokenUsage

__all__ = ["StreamedResponse"]


class StreamedResponse:
    """
    Takes the events of a stream one by one and keeps only what tells its price.

    Every provider's counts are cumulative: the last ones hold. Anthropic tells the input at the start and the output at
    the end; the two are put together. It can be passed to ``PricingEngine.cost_of`` like a response.

        streamed = StreamedResponse()
        for event in stream:
            streamed.add(event)
    """

    __slots__ = (
        "_hidden_params",
        "_is_read",
        "_started",
        "_tokens",
        "_whole",
        "model",
        "output",
        "service_tier",
        "usage",
        "usage_metadata",
    )

    def __init__(self, events: Iterable[object] = ()) -> None:
        self.model: str | None = None
        self.service_tier: str | None = None
        self.usage: object = None
        self.usage_metadata: object = None
        self.output: list[Mapping[str, str]] = []  # of it only the searches, which are paid for
        self._hidden_params: object = None
        self._started: Mapping[str, Any] = {}
        self._tokens: TokenUsage | None = None
        self._is_read = False  # since the last event
        self._whole: object = None  # an answer that does not stream: images, a transcription, a rerank
        for event in events:
            self.add(event)

    @property
    def names(self) -> tuple[str, ...]:
        """The names under which the model may have a price, as far as the stream has named it."""
        return model_names(self._whole or self)

    @property
    def deployment(self) -> str | None:
        """The id of the deployment of litellm's Router that answers, None without a router."""
        return text_of(self._hidden_params, "model_id")

    @property
    def tokens(self) -> TokenUsage | None:
        """The tokens that were told, None if the stream has not told its usage (so far)."""
        if not self._is_read:
            try:
                self._tokens = self.read()
            except ValueError:  # not told, or in numbers that cannot be
                self._tokens = None
            self._is_read = True
        return self._tokens

    @property
    def prompt(self) -> TokenUsage | None:
        """The tokens of the input, which Anthropic tells at the start; None where the stream has not told them."""
        told = self.tokens or StreamedResponse([{"usage": self._started}]).tokens
        return None if told is None else replace(told, **_NO_OUTPUT)

    def read(self) -> TokenUsage:
        """Return the tokens that were told. Raise ValueError if the stream has not told its usage."""
        return read_usage(self._whole or self)

    def add(self, event: object) -> object:
        """
        Take an event, and return what holds what it tells: itself, or the whole response that it carries.

        One that tells neither model nor usage changes nothing.
        """
        self._is_read = False
        kind = label(look_up(event, "type"))
        if kind == "message_start":
            message = look_up(event, "message")
            self.model = look_up(message, "model") or self.model
            self._started = _fields(look_up(message, "usage"))
            return message
        holder = usage_holder(event)
        get, told = getter(holder), names_in(holder, _TOLD)
        for key, name in _FIELDS:
            value = get(key) if key in told else None
            if value is not None:
                setattr(self, name, value)
        usage = get("usage") if "usage" in told else None
        if usage is not None and _tells(usage):
            self.usage = {**self._started, **_fields(usage)} if kind == "message_delta" else usage
        if not kind or holder is not event:  # an event with a type has neither media nor sources of its own
            self._add_media(holder)
        return holder

    def _add_media(self, holder: object) -> None:
        if read_media(holder):
            self._whole = holder
        searches = web_searches(None, holder)
        if searches > len(self.output):
            self.output = [{"type": "web_search_call"}] * searches


#: What is kept, and as what; of two the last one counts.
_FIELDS: Final = (
    ("modelVersion", "model"),
    ("model_version", "model"),
    ("model", "model"),
    ("service_tier", "service_tier"),
    ("usageMetadata", "usage_metadata"),
    ("usage_metadata", "usage_metadata"),
    ("_hidden_params", "_hidden_params"),
)
_TOLD: Final = frozenset({"usage", *(key for key, _ in _FIELDS)})
_NO_OUTPUT: Final[dict[str, Any]] = {
    "output_tokens": 0,
    "reasoning_tokens": 0,
    "audio_output_tokens": 0,
    "image_output_tokens": 0,
}


def _tells(usage: object) -> bool:
    """Return whether there is a count in it: litellm fills in zeros where a provider sends none."""
    return any(isinstance(value, int) and value for value in _stored(usage))


def _stored(usage: object) -> Iterable[object]:
    if isinstance(usage, Mapping):
        return usage.values()
    extra = getattr(usage, "__pydantic_extra__", None) or {}
    return (*getattr(usage, "__dict__", {}).values(), *extra.values())


def _fields(usage: object) -> Mapping[str, Any]:
    dump = getattr(usage, "model_dump", None)
    fields = dump(exclude_none=True) if callable(dump) else usage
    if not isinstance(fields, Mapping):
        fields = getattr(usage, "__dict__", {})
    return {name: value for name, value in fields.items() if value is not None}
