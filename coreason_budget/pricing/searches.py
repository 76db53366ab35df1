"""How often a provider searched the web for a response: each of them tells it in another place, if at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from .fields import count, look_up, names_in, text_of

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

__all__ = ["web_searches"]


def web_searches(usage: object, response: object) -> int:
    """Return the number of searches; one where only the sources that an answer cites tell of them, as litellm does."""
    for holder in (look_up(usage, "server_tool_use"), look_up(usage, "prompt_tokens_details")):
        told = None if holder is None else count(holder, "web_search_requests")
        if told is not None:
            return told
    for name in names_in(response, _TELLING):
        found = _TELLERS[name](response)
        if found:
            return found
    return 0


def _calls(response: object) -> int:
    return sum(text_of(item, "type") == "web_search_call" for item in _items(response, "output"))


def _gemini_queries(response: object) -> int:
    found = 0
    for candidate in _items(response, "candidates"):
        grounding = look_up(candidate, "grounding_metadata", "groundingMetadata")
        found += len(_items(grounding, "web_search_queries", "webSearchQueries"))
    return found


def _citing(response: object) -> int:
    for choice in _items(response, "choices"):
        for note in _items(look_up(choice, "message", "delta"), "annotations"):
            if text_of(note, "type") == "url_citation":
                return 1
    return 0


def _items(holder: object, *names: str) -> Sequence[Any]:
    found = look_up(holder, *names)
    return found if isinstance(found, (list, tuple)) else ()


#: The fields of answers that tell of searches, each of another kind of provider.
_TELLERS: Final[Mapping[str, Callable[[object], int]]] = {
    "output": _calls,
    "candidates": _gemini_queries,
    "choices": _citing,
}
_TELLING: Final = frozenset(_TELLERS)
