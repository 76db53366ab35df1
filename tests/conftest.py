"""The fixtures that every test file shares: stores to run on, both ways to call, and a fresh app for every test."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import fakeredis
import hypothesis
import pytest
from redis import Redis

from .programs import find_program
from .proxy import TcpProxy
from .servers import REDIS, VALKEY, RealServer

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Generator, Iterator
    from contextlib import AbstractContextManager

    from pytest_django import Settings

pytest_plugins = ["tests.litellms", "tests.upstream.plugin"]

CI = os.environ.get("CI", "").lower() in {"1", "true"}

hypothesis.settings.register_profile(
    "coreason_budget",
    deadline=None,
    derandomize=CI,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],  # that is the machine
)
hypothesis.settings.load_profile("coreason_budget")


# What is skipped is said aloud, and on CI it is an error.


def pytest_runtest_setup(item: pytest.Item) -> None:
    missing = [name for mark in item.iter_markers("debian") for name in mark.args if find_program(name) is None]
    if missing:
        pytest.skip(f"NOT TESTED, install from Debian: {', '.join(missing)}")


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if CI and report.skipped and not hasattr(report, "wasxfail") and item.get_closest_marker("debian"):
        report.outcome = "failed"
        report.longrepr = f"A test that needs Debian packages must not be skipped on CI: {report.longrepr}"
    return report


def pytest_report_header() -> list[str]:
    return [f"valkey: {VALKEY.name}", f"redis: {REDIS or 'NOT INSTALLED, its tests are skipped'}"]


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """Spare the garbage collector the thousands of tests and all that they import: it runs at the end of many."""
    gc.collect()
    gc.freeze()


# Every test begins with an app that has done nothing yet.


@pytest.fixture(autouse=True)
def isolation() -> None:
    """Forget the lazily built manager, so that no test sees another's clients, caches or settings."""
    forget_manager()


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_teardown() -> Generator[None, None, None]:
    """Close the manager before any fixture goes: its threads use the test's database, servers and event loop."""
    try:
        forget_manager()
    finally:
        yield


def forget_manager() -> None:
    service = sys.modules.get("coreason_budget.service")
    reset = getattr(service, "reset", None)
    if reset is not None:
        reset()


# Servers.


@pytest.fixture(scope="session")
def real_server() -> Iterator[RealServer]:
    """The Valkey that the whole run shares. Use a key prefix of your own, or ``backend``, which empties it first."""
    with RealServer() as server:
        yield server


@pytest.fixture(scope="session")
def debian_server() -> Iterator[RealServer]:
    """Debian's Redis, shared by the whole run; tests that use it are marked ``debian("redis-server")``."""
    if REDIS is None:
        pytest.skip("redis-server is not installed")
    with RealServer(REDIS) as server:
        yield server


@pytest.fixture
def new_server() -> Iterator[Callable[..., RealServer]]:
    """Make a server of the test's own, started: ``new_server()``, ``new_server(aof=True, options={...})``."""
    with contextlib.ExitStack() as stack:

        def make(*arguments: Any, **options: Any) -> RealServer:
            return stack.enter_context(RealServer(*arguments, **options))

        yield make


@pytest.fixture
def new_proxy() -> Iterator[Callable[[RealServer], TcpProxy]]:
    """Put a proxy in front of a server: ``new_proxy(server)``."""
    with contextlib.ExitStack() as stack:

        def make(server: RealServer) -> TcpProxy:
            return stack.enter_context(TcpProxy(server.port))

        yield make


@dataclass(frozen=True, slots=True)
class Backend:
    """The store that ``settings.CACHES["default"]`` names during a test."""

    name: str
    url: str
    alias: dict[str, Any]
    server: RealServer | None

    def client(self, **options: Any) -> Redis:
        """Return a new plain client of the same store, decoding text."""
        options = {"decode_responses": True, **options}
        if self.server is None:
            options["connection_class"] = fakeredis.FakeRedisConnection
        return Redis.from_url(self.url, **options)


def django_redis_alias(url: str, **options: Any) -> dict[str, Any]:
    """Return an entry of CACHES for django-redis."""
    return {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": url, "OPTIONS": options}


def fake_backend() -> Backend:
    """Return an empty fake server of its own: fakeredis keeps one for each host name."""
    url = f"redis://{uuid4().hex}.invalid:6379/0"
    alias = django_redis_alias(url, CONNECTION_POOL_KWARGS={"connection_class": fakeredis.FakeRedisConnection})
    return Backend("fake", url, alias, None)


def server_backend(name: str, server: RealServer) -> Backend:
    """Return a real server as a backend, emptied."""
    with server.client() as client:
        client.flushall()
    return Backend(name, server.url, django_redis_alias(server.url), server)


@pytest.fixture(
    params=[
        pytest.param("fake", marks=pytest.mark.once),
        "real",
        pytest.param("redis", marks=[pytest.mark.debian("redis-server"), pytest.mark.once]),
    ]
)
def backend(request: pytest.FixtureRequest, settings: Settings) -> Backend:
    """Run the test on fakeredis, on Valkey and on Debian's Redis, each empty, as the cache ``default``."""
    match request.param:
        case "fake":
            made = fake_backend()
        case "real":
            made = server_backend("real", request.getfixturevalue("real_server"))
        case _:
            made = server_backend("redis", request.getfixturevalue("debian_server"))
    settings.CACHES = {**settings.CACHES, "default": made.alias}
    return made


@pytest.fixture
def use_server(settings: Settings) -> Callable[[RealServer | TcpProxy], None]:
    """Make a server or a proxy the cache ``default``: ``use_server(new_proxy(server))``."""

    def use(target: RealServer | TcpProxy) -> None:
        settings.CACHES = {**settings.CACHES, "default": django_redis_alias(target.url)}

    return use


# Sync and async: one test, both ways.


class Driver:
    """
    Calls an operation by its sync name: ``driver(manager, "reserve", "ann", amount="1")``.

    The async driver calls ``areserve`` and runs it on one event loop, which lives as long as the test.
    """

    name: str

    def __call__(self, target: object, name: str, /, *args: Any, **kwargs: Any) -> Any:
        """Call the operation and return what it answers."""
        raise NotImplementedError

    def together(self, times: int, target: object, name: str, /, *args: Any, **kwargs: Any) -> list[Any]:
        """Make the same call many times at once; return the answers, and in place of one the error it raised."""
        raise NotImplementedError

    def entered(self, manager: Any) -> AbstractContextManager[Any]:
        """Enter a context manager that is both, by ``with`` or by ``async with``."""
        raise NotImplementedError

    def close(self) -> None:
        """End what the driver started."""


class SyncDriver(Driver):
    name = "sync"

    def __call__(self, target: object, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return getattr(target, name)(*args, **kwargs)

    def together(self, times: int, target: object, name: str, /, *args: Any, **kwargs: Any) -> list[Any]:
        start = threading.Barrier(min(times, 32))

        def one(number: int) -> Any:
            if number < start.parties:
                start.wait()
            try:
                return self(target, name, *args, **kwargs)
            except Exception as error:  # noqa: BLE001  # it is the answer
                return error

        with ThreadPoolExecutor(start.parties) as pool:
            return list(pool.map(one, range(times)))

    def entered(self, manager: Any) -> AbstractContextManager[Any]:
        entered: AbstractContextManager[Any] = manager
        return entered


class AsyncDriver(Driver):
    name = "async"

    def __init__(self) -> None:
        self.runner = asyncio.Runner()

    def __call__(self, target: object, name: str, /, *args: Any, **kwargs: Any) -> Any:
        return self.run(lambda: getattr(target, f"a{name}")(*args, **kwargs))

    def run(self, make: Callable[[], Awaitable[Any]]) -> Any:
        """Make an awaitable on the running loop and wait for it."""

        async def main() -> Any:
            return await make()

        return self.runner.run(main())

    def together(self, times: int, target: object, name: str, /, *args: Any, **kwargs: Any) -> list[Any]:
        operation = getattr(target, f"a{name}")
        return list(
            self.run(
                lambda: asyncio.gather(*(operation(*args, **kwargs) for _ in range(times)), return_exceptions=True)
            )
        )

    @contextlib.contextmanager
    def entered(self, manager: Any) -> Iterator[Any]:
        stack = contextlib.AsyncExitStack()
        yielded = self.run(lambda: stack.enter_async_context(manager))
        try:
            yield yielded
        except BaseException as error:
            if not self.run(partial(stack.__aexit__, type(error), error, error.__traceback__)):
                raise
        else:
            self.run(stack.aclose)

    def close(self) -> None:
        end_loop(self.runner)


def end_loop(runner: asyncio.Runner) -> None:
    """Close a loop, and first what was thrown away since it last ran: closing the loop would not wait for that."""
    runner.run(asyncio.sleep(0))
    runner.close()


@pytest.fixture(params=[SyncDriver, AsyncDriver], ids=["sync", "async"])
def driver(request: pytest.FixtureRequest) -> Iterator[Driver]:
    """Run the test with the sync names and with the async ones."""
    made: Driver = request.param()
    with contextlib.closing(made):
        yield made
