"""Which requests of an SDK are budgeted, and what their bodies say of their price."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from os import PathLike
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from ...exceptions import UnknownModelError
from ...metering.calls import Request

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Endpoint", "endpoint_at", "plain"]

#: The shortest maximum of output tokens that a call is lowered to; OpenAI Responses takes no smaller one.
_LEAST: Final = 16


@dataclass(frozen=True, slots=True)
class Endpoint:
    """
    A path that costs money, with the fields of its body that matter.

    ``limits`` are names of the maximum of output tokens, that which is set where a body has none first; without any
    there is no output. ``asks_usage`` tells that streams say what they used only if they are asked to.
    """

    path: str
    prompt: tuple[str, ...]
    limits: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    asks_usage: bool = False

    def request(self, body: Mapping[str, Any], *, is_limited: bool) -> Request:
        """
        Return what a body asks for. With ``is_limited`` its longest answer is lowered to what the budget has left.

        Raise UnknownModelError if it names no model, ValueError if its cost cannot be known when it is answered.
        """
        model = body.get("model")
        if not isinstance(model, str) or not model.strip():
            raise UnknownModelError(
                f"The call of {self.path} names no model, so its price is not known: pass model=..., got {model!r:.80}."
            )
        if body.get("background"):
            raise ValueError(
                "background=True cannot be budgeted: what it costs is known long after the call. Leave it out, or make "
                "the call with a client that is not wrapped and charge the finished response by hand."
            )
        asked = {name: _without_files(body[name]) for name in self.prompt if body.get(name)}
        return Request(
            (model,),
            prompt=asked or " ",
            max_output_tokens=self._longest(body),
            choices=max([1, *(_count(body.get(name)) or 1 for name in self.choices)]),
            fits=_LEAST + _thought(body) if is_limited and self.limits else None,
        )

    def lowered(self, body: Mapping[str, Any], tokens: int) -> dict[str, Any]:
        """Return a body that asks for answers of at most so many tokens."""
        name = next((name for name in self.limits if _count(body.get(name)) is not None), self.limits[0])
        return {**body, name: tokens}

    def _longest(self, body: Mapping[str, Any]) -> int | None:
        if not self.limits:
            return 0
        return next((count for name in self.limits if (count := _count(body.get(name))) is not None), None)


def endpoint_at(url: str, endpoints: Iterable[Endpoint]) -> Endpoint | None:
    """Return the endpoint that a request goes to, None if it costs nothing that is budgeted."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    for endpoint in endpoints:
        if path == endpoint.path or (parts.netloc and path.endswith(endpoint.path)):
            return endpoint
    return None


def plain(value: Any, absent: tuple[type, ...]) -> Any:
    """Return a part of a body without fields that were left out, and with lists for iterators, which are read once."""
    if isinstance(value, Mapping):
        return {key: plain(item, absent) for key, item in value.items() if not isinstance(item, absent)}
    if isinstance(value, (list, tuple, Iterator)) and not hasattr(value, "read"):
        return [plain(item, absent) for item in value]
    return value


def _without_files(value: Any) -> Any:
    """Return a part of a prompt without files that the SDK is to read: how many tokens they have is not known."""
    if isinstance(value, Mapping):
        return {key: _without_files(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_files(item) for item in value]
    return "" if isinstance(value, PathLike) or hasattr(value, "read") else value


def _thought(body: Mapping[str, Any]) -> int:
    """Return the tokens that Anthropic's thinking is given: a maximum must be more than that."""
    thinking = body.get("thinking")
    return (_count(thinking.get("budget_tokens")) or 0) if isinstance(thinking, Mapping) else 0


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None
