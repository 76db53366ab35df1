"""What a call of an SDK's client costs more on a budget: CPU of each call, and memory of each stream that is open."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import httpx2
import openai

from coreason_budget import service
from coreason_budget.integrations.openai import wrap

from .added import CALL, added_cpu, bytes_of_a_stream
from .measure import Contestant
from .server import WritesHeldBack
from .tables import Row

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .stage import Options

__all__ = ["measure"]

CHUNKS: Final = 20
USAGE: Final = {"prompt_tokens": 14, "completion_tokens": CHUNKS, "total_tokens": 14 + CHUNKS}


def measure(options: Options) -> Iterator[Row]:
    """Return what is added to openai's own client, whose provider answers in this process, on three accounts."""
    writes = WritesHeldBack(service.manager())
    bare, budgeted = _clients(openai.OpenAI, httpx2.Client)
    abare, abudgeted = _clients(openai.AsyncOpenAI, httpx2.AsyncClient)
    contestants: list[Contestant] = []
    for name, plain, wrapped, is_async in (
        ("openai, a chat", _asking(bare), _asking(budgeted), False),
        ("openai, an async chat", _asking(abare), _asking(abudgeted), True),
        (f"openai, a stream of {CHUNKS} chunks", _reading(bare), _reading(budgeted), False),
    ):
        contestants += [
            Contestant(name, plain, is_async=is_async),
            Contestant(f"{name} on a budget", wrapped, name, is_async=is_async, before=writes.begin, after=writes.end),
        ]
    yield from added_cpu("clients", contestants, options)
    added = bytes_of_a_stream(_streaming(budgeted)) - bytes_of_a_stream(_streaming(bare))
    yield Row("clients", "openai, an open stream: memory added", added / 1_024, "KiB")


def _clients(kind: Any, http: Any) -> tuple[Any, Any]:
    """Return a client and one on a budget; both are answered by ``_answered``."""

    def made() -> Any:
        client = http(transport=httpx2.MockTransport(_answered))
        return kind(base_url="http://127.0.0.1", api_key="-", max_retries=0, http_client=client)

    return made(), wrap(made(), user="ann", project="search")


def _answered(request: httpx2.Request) -> httpx2.Response:
    if not json.loads(request.content).get("stream"):
        message = {"role": "assistant", "content": "Six times seven is forty-two."}
        choice = {"index": 0, "message": message, "finish_reason": "stop"}
        return httpx2.Response(200, json={**_frame("chat.completion"), "choices": [choice], "usage": USAGE})
    choice = {"index": 0, "delta": {"content": " seven"}, "finish_reason": None}
    chunks = [{**_frame("chat.completion.chunk"), "choices": [choice]}] * CHUNKS
    chunks.append({**_frame("chat.completion.chunk"), "choices": [], "usage": USAGE})
    events = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in chunks]
    return httpx2.Response(
        200, headers={"content-type": "text/event-stream"}, content=iter([*events, b"data: [DONE]\n\n"])
    )


def _frame(kind: str) -> dict[str, Any]:
    return {"id": "chatcmpl-1", "object": kind, "created": 1_790_000_000, "model": "gpt-4o"}


def _asking(client: Any) -> Callable[[], Any]:
    return lambda: client.chat.completions.create(**CALL)


def _streaming(client: Any) -> Callable[[], Any]:
    return lambda: client.chat.completions.create(**CALL, stream=True)


def _reading(client: Any) -> Callable[[], Any]:
    stream = _streaming(client)
    return lambda: list(stream())
