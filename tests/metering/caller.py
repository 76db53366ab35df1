"""``Caller``: makes metered calls of a provider that answers as it is told, by the sync and the async way."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreason_budget.metering.calls import MeteredCall, Request
from coreason_budget.metering.current import Payer
from coreason_budget.metering.sending import StreamedCall, sent
from coreason_budget.metering.streams import AsyncChunks, Chunks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from coreason_budget import BudgetManager
    from tests.conftest import Driver

#: 100 tokens of a prompt and 50 of an answer: 0.00025 + 0.0005 USD of gpt-4o.
USAGE = {"prompt_tokens": 100, "completion_tokens": 50, "total_tokens": 150}
PROMPT = [{"role": "user", "content": "What is six times seven?"}]


def whole(model: str = "gpt-4o", **usage: int) -> dict[str, Any]:
    return {"model": model, "choices": [{"message": {"content": "42"}}], "usage": {**USAGE, **usage}}


def chunk(text: str = "", **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "choices": [{"delta": {"content": text}}] if text else [], **more}


class Provider:
    """Answers as it is told, and notes how it was asked."""

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self.asked: list[int | None] = []

    def __call__(self, lowered: int | None) -> Any:
        self.asked.append(lowered)
        if isinstance(self._answer, BaseException):
            raise self._answer
        return self._answer


class Caller:
    """Makes calls by either driver: ``caller(provider)``, with the terms of a Request as keywords."""

    def __init__(self, driver: Driver, budget: BudgetManager) -> None:
        self._driver = driver
        self.budget = budget

    def __call__(self, provider: Provider, payer: Payer | None = None, **terms: Any) -> Any:
        request = Request(**{"models": ("gpt-4o",), "prompt": PROMPT, **terms})
        call = MeteredCall(self.budget, payer or Payer("ann"), request)
        return self.drive(sent(call, self._send(provider), self._streamed))

    def drive(self, operation: Any) -> Any:
        return self._driver(self, "driven", operation)

    def driven(self, operation: Any) -> Any:
        return self.budget.drive(operation)

    async def adriven(self, operation: Any) -> Any:
        return await self.budget.adrive(operation)

    def read(self, stream: Any, most: int = 1_000) -> list[Any]:
        """Return the next chunks of a stream."""
        return list(self._driver(self, "next_of", stream, most))

    def next_of(self, stream: Any, most: int) -> list[Any]:
        return [found for _, found in zip(range(most), stream, strict=False)]

    async def anext_of(self, stream: Any, most: int) -> list[Any]:
        found: list[Any] = []
        while len(found) < most:
            try:
                found.append(await anext(stream))
            except StopAsyncIteration:
                break
        return found

    def close(self, stream: Any) -> None:
        self._driver(self, "closed", stream)

    def closed(self, stream: Any) -> None:
        stream.close()

    async def aclosed(self, stream: Any) -> None:
        await stream.aclose()

    def _send(self, provider: Provider) -> Callable[[int | None], Any]:
        if self._driver.name == "sync":
            return provider

        async def send(lowered: int | None) -> Any:
            return provider(lowered)

        return send

    def _streamed(self, answer: Any, call: MeteredCall) -> Any:
        if not hasattr(answer, "__next__"):
            return None
        keeper = StreamedCall(call, lambda chunk: not chunk["choices"])
        return Chunks(answer, keeper) if self._driver.name == "sync" else AsyncChunks(_asynchronous(answer), keeper)


async def _asynchronous(chunks: Iterator[Any]) -> Any:
    for one in chunks:
        yield one
