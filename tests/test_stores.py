"""What tests run on and how they call: backends that are empty, and drivers by the sync and the async names."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
from django.core.cache import caches

if TYPE_CHECKING:
    from .conftest import Backend, Driver


def test_a_backend_is_the_default_cache_and_empty(backend: Backend) -> None:
    with backend.client() as client:
        assert client.dbsize() == 0
        caches["default"].set("key", "1")
        assert client.dbsize() == 1


def test_every_fake_backend_is_a_server_of_its_own(backend: Backend) -> None:
    if backend.server is not None:
        with backend.server.client() as client:
            assert client.get("left over") is None
            client.set("left over", "1")
        return
    with backend.client() as client:
        client.set("left over", "1")
        assert client.keys() == ["left over"]


class Counter:
    """Something with a sync and an async face."""

    def __init__(self) -> None:
        self.count = 0
        self.loops: set[int] = set()
        self.closed: list[type[BaseException] | None] = []

    def add(self, number: int, *, odd: bool = False) -> int:
        self.count += number
        if odd and self.count % 2 == 0:
            raise ValueError(self.count)
        return self.count

    async def aadd(self, number: int, *, odd: bool = False) -> int:
        self.loops.add(id(asyncio.get_running_loop()))
        return self.add(number, odd=odd)

    def __enter__(self) -> int:
        return self.count

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> bool | None:
        self.closed.append(kind)
        return kind is KeyError

    async def __aenter__(self) -> int:
        return self.__enter__()

    async def __aexit__(self, kind: type[BaseException] | None, *rest: object) -> bool | None:
        self.loops.add(id(asyncio.get_running_loop()))
        return self.__exit__(kind)


def test_a_driver_calls_by_the_sync_name_on_one_loop(driver: Driver) -> None:
    counter = Counter()

    assert [driver(counter, "add", 1), driver(counter, "add", number=2)] == [1, 3]
    with driver.entered(counter) as entered:
        assert entered == 3
    assert len(counter.loops) == (driver.name == "async")


def test_a_driver_calls_many_at_once_and_returns_errors_as_answers(driver: Driver) -> None:
    answers = driver.together(100, Counter(), "add", 1, odd=True)

    assert sum(isinstance(answer, ValueError) for answer in answers) == 50
    assert sorted(answer for answer in answers if isinstance(answer, int)) == list(range(1, 100, 2))


def test_a_driver_tells_a_context_manager_how_its_block_ended(driver: Driver) -> None:
    counter = Counter()
    with driver.entered(counter):
        raise KeyError("swallowed")
    with pytest.raises(ZeroDivisionError), driver.entered(counter):
        raise ZeroDivisionError
    with driver.entered(counter):
        pass

    assert counter.closed == [KeyError, ZeroDivisionError, None]
