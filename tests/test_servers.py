"""The real servers that tests start, stop, freeze and restart."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from .servers import RealServer, plain

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def run_id(server: RealServer) -> str:
    with server.client() as client:
        return str(client.info("server")["run_id"])


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
