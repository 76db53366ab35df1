"""How often a provider searched the web for a response: each of them tells it in another place, if at all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .fields import count, look_up, text_of

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["web_searches"]


def web_searches(usage: object, response: object) -> int:
    """Return the number of searches; one where only the sources that an answer cites tell of them, as litellm does."""
    for holder in (look_up(usage, "server_tool_use"), look_up(usage, "prompt_tokens_details")):
        told = count(holder, "web_search_requests")
        if told is not None:
            return told
    called = sum(text_of(item, "type") == "web_search_call" for item in _items(response, "output"))
    return called or _gemini_queries(response) or int(_cites(response))


def _gemini_queries(response: object) -> int:
    found = 0
    for candidate in _items(response, "candidates"):
        grounding = look_up(candidate, "grounding_metadata", "groundingMetadata")
        found += sum(1 for _ in _items(grounding, "web_search_queries", "webSearchQueries"))
    return found


def _cites(response: object) -> bool:
    messages = (look_up(choice, "message", "delta") for choice in _items(response, "choices"))
    notes = (note for message in messages for note in _items(message, "annotations"))
    return any(text_of(note, "type") == "url_citation" for note in notes)


def _items(holder: object, *names: str) -> Iterator[Any]:
    found = look_up(holder, *names)
    yield from found if isinstance(found, (list, tuple)) else ()
