"""Streams as their reader gets them: what nobody reads any more the provider need not send, for it bills that too."""

from __future__ import annotations

import asyncio
from contextlib import AbstractContextManager, nullcontext
from typing import Any, Self

import pytest

from coreason_budget.metering.relays import AsyncRelay, Relay


class Keeper:
    """Whoever holds the money; here it only notes how a stream ends."""

    manager: Any = None
    is_due = False

    def __init__(self) -> None:
        self.endings: list[str] = []

    def entered(self) -> AbstractContextManager[None]:
        return nullcontext()

    def read(self, _: Any) -> bool:
        return True

    def renew(self) -> Any:
        raise NotImplementedError

    def end(self, *, is_good: bool) -> Any:
        raise NotImplementedError

    def abandon(self) -> None:
        self.endings.append("abandoned")


class Source:
    """A provider's stream that others refer to as well, so that it does not end because its reader has gone."""

    def __init__(self) -> None:
        self.closed = asyncio.Event()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> str:
        return "six"

    async def __anext__(self) -> str:
        return "six"

    def close(self) -> None:
        self.closed.set()

    async def aclose(self) -> None:
        self.closed.set()


class Stubborn(Source):
    def close(self) -> None:
        super().close()
        raise OSError("It is closed already.")


@pytest.mark.parametrize("kind", [Source, Stubborn])
@pytest.mark.parametrize("is_begun", [True, False], ids=["begun", "unread"])
def test_a_stream_that_is_thrown_away_is_closed_at_the_provider(kind: type[Source], *, is_begun: bool) -> None:
    source, keeper = kind(), Keeper()
    relay = Relay(source, keeper)
    if is_begun:
        assert next(relay) == "six"
    assert not source.closed.is_set()
    del relay
    assert source.closed.is_set()
    assert keeper.endings == ["abandoned"]


@pytest.mark.parametrize("is_begun", [True, False], ids=["begun", "unread"])
def test_an_asynchronous_stream_that_is_thrown_away_is_closed_at_the_provider(*, is_begun: bool) -> None:
    keeper = Keeper()

    async def main() -> None:
        source = Source()
        relay = AsyncRelay(source, keeper)
        if is_begun:
            assert await anext(relay) == "six"
        del relay
        assert not source.closed.is_set()  # a destructor awaits nothing
        async with asyncio.timeout(10):
            await source.closed.wait()

    asyncio.run(main())
    assert keeper.endings == ["abandoned"]


def test_an_asynchronous_stream_that_is_thrown_away_where_no_loop_runs_is_only_booked() -> None:
    source, keeper = Source(), Keeper()
    relay = AsyncRelay(source, keeper)
    del relay
    assert not source.closed.is_set()
    assert keeper.endings == ["abandoned"]
