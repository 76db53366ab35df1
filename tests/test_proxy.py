"""The proxy that stands in front of a server and loses, delays or holds what passes through."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
from django.core.cache import caches
from redis import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .servers import RealServer, plain

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .proxy import TcpProxy


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


def test_a_server_or_a_proxy_becomes_the_default_cache(proxy: TcpProxy, use_server: Callable[[TcpProxy], None]) -> None:
    use_server(proxy)

    caches["default"].get("key")

    assert proxy.seen(b"GET") >= 1
