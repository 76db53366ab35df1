"""The tools that the fault tests stand on: real servers, the proxy in front of them, backends and drivers."""

from __future__ import annotations

import asyncio
import os
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.core.cache import caches
from redis import Redis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError
from redis.retry import Retry

from .servers import RealServer

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from .conftest import Backend, Driver
    from .proxy import TcpProxy


def run_id(server: RealServer) -> str:
    with server.client() as client:
        return str(client.info("server")["run_id"])


def plain(url: str, timeout: float = 5) -> Redis:
    """Return a client that never tries twice."""
    return Redis.from_url(
        url, decode_responses=True, retry=Retry(NoBackoff(), 0), socket_timeout=timeout, socket_connect_timeout=timeout
    )


# Servers


def test_a_server_answers_as_soon_as_it_is_started(new_server: Callable[..., RealServer]) -> None:
    server = new_server()

    with server.client() as client:
        assert client.ping() is True
    assert server.is_running


def test_a_restart_keeps_the_data_and_the_port_and_changes_the_run_id(new_server: Callable[..., RealServer]) -> None:
    server = new_server()
    before = server.url, run_id(server)
    with server.client() as client:
        client.set("kept", "1")

        server.restart()

        assert client.get("kept") == "1"
    assert server.url == before[0]
    assert run_id(server) != before[1]


def test_a_restart_may_lose_the_data(new_server: Callable[..., RealServer]) -> None:
    server = new_server()
    with server.client() as client:
        client.set("lost", "1")
        server.save()

        server.restart(keep_data=False)

        assert client.get("lost") is None


@pytest.mark.parametrize(("aof", "left"), [(True, "1"), (False, None)])
def test_a_killed_server_has_what_its_aof_has(
    new_server: Callable[..., RealServer], *, aof: bool, left: str | None
) -> None:
    server = new_server(aof=aof)
    with server.client() as client:
        client.set("key", "1")

        server.kill()
        assert not server.is_running
        server.start()

        assert client.get("key") == left


def test_a_snapshot_brings_back_older_data(new_server: Callable[..., RealServer]) -> None:
    server = new_server()
    with server.client() as client:
        client.set("key", "old")
        snapshot = server.snapshot()
        client.set("key", "new")
        server.restart()
        assert client.get("key") == "new"

        server.restore_and_restart(snapshot)

        assert client.get("key") == "old"


def test_a_server_with_an_aof_refuses_a_snapshot(tmp_path: Path, new_server: Callable[..., RealServer]) -> None:
    with pytest.raises(RuntimeError, match="would ignore the snapshot"):
        new_server(aof=True).restore_and_restart(tmp_path)


def test_a_paused_server_answers_nothing_until_it_goes_on(new_server: Callable[..., RealServer]) -> None:
    server = new_server()
    server.pause()
    with plain(server.url, timeout=0.05) as client, pytest.raises(RedisTimeoutError):
        client.ping()

    server.resume()

    with plain(server.url) as client:
        assert client.ping() is True


def test_a_paused_server_can_be_stopped_and_killed(new_server: Callable[..., RealServer]) -> None:
    for end in (RealServer.stop, RealServer.kill):
        server = new_server()
        server.pause()
        end(server)
        assert not server.is_running


def test_a_stopped_server_refuses_connections_and_operations(new_server: Callable[..., RealServer]) -> None:
    server = new_server()
    server.stop()

    with plain(server.url) as client, pytest.raises(RedisConnectionError):
        client.ping()
    with pytest.raises(RuntimeError, match="does not run"):
        server.pause()


def test_options_are_lines_of_the_configuration(new_server: Callable[..., RealServer]) -> None:
    server = new_server(options={"maxmemory": "3mb", "maxmemory-policy": "allkeys-lru"})

    with server.client() as client:
        assert client.config_get("maxmemory*")["maxmemory-policy"] == "allkeys-lru"


def test_a_server_that_cannot_start_says_why() -> None:
    server = RealServer(options={"no-such-option": "1"})

    with pytest.raises(RuntimeError, match="no-such-option"):
        server.start()
    server.discard()


def test_a_server_is_started_once_and_leaves_nothing_behind() -> None:
    with RealServer() as server:
        home, pid = server.home, server.pid
        with pytest.raises(RuntimeError, match="was started before"):
            server.start()

    assert not home.exists()
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_a_replica_follows(new_server: Callable[..., RealServer]) -> None:
    primary = new_server(options={"repl-diskless-sync-delay": "0"})
    replica = new_server(options={"replicaof": f"127.0.0.1 {primary.port}"})

    with primary.client(socket_timeout=30) as client:
        client.set("key", "1")
        assert client.wait(1, 20_000) == 1
    with replica.client() as client:
        assert client.get("key") == "1"


@pytest.mark.debian("redis-server")
def test_redis_of_debian_runs_too(debian_server: RealServer) -> None:
    with debian_server.client() as client:
        assert client.info("server")["redis_version"].startswith(("7.", "8."))


# The proxy


@pytest.fixture
def server(real_server: RealServer) -> RealServer:
    with real_server.client() as client:
        client.flushall()
    return real_server


@pytest.fixture
def proxy(server: RealServer, new_proxy: Callable[[RealServer], TcpProxy]) -> TcpProxy:
    return new_proxy(server)


@pytest.fixture
def client(proxy: TcpProxy) -> Iterator[Redis]:
    with plain(proxy.url) as client:
        yield client


@pytest.fixture
def direct(server: RealServer) -> Iterator[Redis]:
    with server.client() as client:
        yield client


@pytest.mark.parametrize("protocol", [2, 3])
def test_everything_passes_through_both_protocols(proxy: TcpProxy, protocol: int) -> None:
    with Redis.from_url(proxy.url, decode_responses=True, protocol=protocol) as client:
        client.hset("hash", mapping={"a": "1", "b": "x" * 100_000})
        client.zadd("zset", {"m": 1.5})
        with client.pipeline() as pipeline:
            pipeline.hgetall("hash").zrange("zset", 0, -1, withscores=True).get("none").smembers("none").incr("n")
            answers = pipeline.execute()

    assert answers[0] == {"a": "1", "b": "x" * 100_000}
    assert [list(pair) for pair in answers[1]] == [["m", 1.5]]
    assert answers[2:] == [None, set(), 1]


def test_errors_of_the_server_pass_through(client: Redis) -> None:
    client.set("text", "x")

    with pytest.raises(RedisError, match="not an integer"):
        client.incr("text")


def test_requests_are_counted(proxy: TcpProxy, client: Redis) -> None:
    client.incr("n")
    client.incr("n")
    client.get("n")

    assert proxy.seen(b"INCR") == 2


def test_a_dropped_reply_was_executed(proxy: TcpProxy, client: Redis, direct: Redis) -> None:
    rule = proxy.drop_replies(1, matching=b"INCR")

    with pytest.raises(RedisConnectionError):
        client.incr("n")

    assert rule.hits == 1
    assert direct.get("n") == "1"
    assert client.incr("n") == 2


def test_a_silently_dropped_reply_is_a_time_out(proxy: TcpProxy, direct: Redis) -> None:
    proxy.drop_replies(1, matching=b"INCR", silent=True)

    with plain(proxy.url, timeout=0.5) as client, pytest.raises(RedisTimeoutError):
        client.incr("n")

    assert direct.get("n") == "1"


def test_a_dropped_request_was_not_executed(proxy: TcpProxy, client: Redis, direct: Redis) -> None:
    proxy.drop_requests(2, matching=b"INCR")

    for _ in range(2):
        with pytest.raises(RedisConnectionError):
            client.incr("n")

    assert direct.get("n") is None
    assert client.incr("n") == 1


def test_the_first_rule_that_matches_decides(proxy: TcpProxy, client: Redis) -> None:
    other = proxy.drop_requests(1, matching=b"DECR")
    first = proxy.drop_requests(1, matching=b"INCR")
    second = proxy.drop_replies(1, matching=b"INCR")

    with pytest.raises(RedisConnectionError):
        client.incr("n")

    assert (other.hits, first.hits, second.hits) == (0, 1, 0)


@pytest.mark.parametrize(("hold", "while_held"), [("hold_requests", None), ("hold_replies", "1")])
def test_a_held_call_goes_on_when_it_is_released(
    proxy: TcpProxy, client: Redis, direct: Redis, hold: str, while_held: str | None
) -> None:
    rule = getattr(proxy, hold)(1, matching=b"INCR")
    with ThreadPoolExecutor(1) as pool:
        call = pool.submit(client.incr, "n")
        rule.wait()
        assert direct.get("n") == while_held
        assert not call.done()

        rule.release()

        assert call.result(5) == 1


def test_waiting_for_a_rule_that_nothing_meets_ends(proxy: TcpProxy) -> None:
    with pytest.raises(TimeoutError, match="GETDEL"):
        proxy.hold_replies(matching=b"GETDEL").wait(0.01)


def test_a_delay_is_waited_for(proxy: TcpProxy, client: Redis) -> None:
    proxy.delay(0.05, 1, matching=b"INCR")
    began = time.monotonic()

    assert client.incr("n") == 1

    assert time.monotonic() - began >= 0.05


def test_a_black_hole_accepts_and_never_answers(proxy: TcpProxy) -> None:
    with plain(proxy.url, timeout=0.5) as old, plain(proxy.url, timeout=0.5) as new:
        old.ping()
        proxy.black_hole()
        for client in (old, new):
            with pytest.raises(RedisTimeoutError):
                client.ping()

        proxy.restore()

        assert old.ping() is True
        assert new.ping() is True


def test_a_refusing_proxy_is_a_server_that_is_down(proxy: TcpProxy, client: Redis) -> None:
    client.ping()
    proxy.refuse()
    for _ in range(2):
        with pytest.raises(RedisConnectionError):
            client.ping()

    proxy.restore()

    assert client.ping() is True


def test_closed_connections_are_made_again(proxy: TcpProxy, client: Redis) -> None:
    first = client.client_id()

    proxy.close_connections()

    assert client.client_id() != first


def test_a_server_that_is_down_closes_the_clients_connection(
    new_server: Callable[..., RealServer], new_proxy: Callable[[RealServer], TcpProxy]
) -> None:
    server = new_server()
    proxy = new_proxy(server)
    server.stop()

    with plain(proxy.url) as client, pytest.raises(RedisConnectionError):
        client.ping()


def test_a_closed_proxy_leaves_no_thread_behind(
    server: RealServer, new_proxy: Callable[[RealServer], TcpProxy]
) -> None:
    before = set(threading.enumerate())
    proxy = new_proxy(server)
    proxy.hold_replies(matching=b"INCR")
    with plain(proxy.url) as client, ThreadPoolExecutor(1) as pool:
        client.ping()
        held = pool.submit(client.incr, "n")
        proxy.black_hole()
        proxy.close()
        assert isinstance(held.exception(5), RedisConnectionError)

    assert set(threading.enumerate()) <= before


# Backends and drivers


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


def test_a_server_or_a_proxy_becomes_the_default_cache(proxy: TcpProxy, use_server: Callable[[TcpProxy], None]) -> None:
    use_server(proxy)

    caches["default"].get("key")

    assert proxy.seen(b"GET") >= 1


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
