"""The harness that measures peers finds the known figures of this project, without the network."""

from __future__ import annotations

import asyncio
import sys
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

import pytest
from redis import Redis

from benchmarks.peers import contest, environments
from benchmarks.peers.adapters.turns import Adapter, Way, _Turns
from benchmarks.peers.environments import UnavailableError
from benchmarks.peers.players import Player
from benchmarks.peers.roster import OURS, ROSTER
from benchmarks.peers.wire import CountingProxy, Postgres, Resp, Traffic
from benchmarks.stage import Options

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Iterator
    from pathlib import Path

    from benchmarks.peers.adapters.turns import _Talk
    from tests.servers import RealServer

ONE = Traffic(commands=1, trips=1)
RESP = b"*1\r\n$4\r\nPING\r\n" + b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$6\r\n*1\r\n$4\r\n"
STARTUP = (8).to_bytes(4, "big") + (196_608).to_bytes(4, "big")
POSTGRES = (
    (8).to_bytes(4, "big")
    + (80_877_103).to_bytes(4, "big")
    + STARTUP
    + b"Q\0\0\0\x05\0"
    + b"P\0\0\0\x04"
    + b"E\0\0\0\x04"
)


@pytest.fixture
def server(new_server: Callable[..., RealServer]) -> RealServer:
    return new_server()


@pytest.fixture
def proxy(server: RealServer) -> Iterator[CountingProxy]:
    with CountingProxy(server.port, "redis") as proxy:
        yield proxy


@pytest.fixture
def contender(server: RealServer) -> Iterator[contest.Contender]:
    with Player(OURS.module, sys.executable, server.url, paths=OURS.paths()) as player:
        yield contest.Contender(OURS, player, server.url)


class CheckedFirst(Adapter):
    """Checks what is spent before a call and adds to it after, as many do."""

    spent = Decimal(0)
    refusals = (OverflowError,)

    def open(self, user: str, limit: str, run: Any) -> dict[str, Way]:
        def check(estimate: str) -> None:
            if self.spent + Decimal(estimate) > Decimal(limit):
                raise OverflowError(user)

        def call(estimate: str, cost: str, during: Callable[[], None]) -> None:
            check(estimate)
            during()
            self.spent += Decimal(cost)

        async def acall(estimate: str, cost: str, during: Callable[[], Coroutine[Any, Any, None]]) -> None:
            check(estimate)
            await during()
            self.spent += Decimal(cost)

        return {"sync": Way(lambda: None, call), "async": Way(lambda: None, acall, is_async=True)}


def test_our_calls_wait_for_two_round_trips_and_are_counted_once_behind_them(contender: contest.Contender) -> None:
    contender.warm_up()

    assert contender.kinds() == ["sync", "async"]
    for way in contender.kinds():
        assert contest.traffic(contender, way) == (ONE, ONE, ONE)


def test_a_crowd_spends_exactly_our_limit(contender: contest.Contender) -> None:
    for way in ("sync", "async"):
        contender.player.open(f"crowd of {way}", "1.00")

        assert contender.player.crowd(way, 64, "0.10") == (10, [])


@pytest.mark.parametrize("way", ["sync", "async"])
def test_all_of_a_crowd_ask_before_the_first_of_them_is_booked(way: str) -> None:
    with asyncio.Runner() as runner:
        turns = _Turns(CheckedFirst(), runner, cast("_Talk", None))
        turns.open("ann", "1.00")

        assert turns.crowd(way, 64, "0.10") == {"called": 64, "failures": []}
        assert turns.crowd(way, 64, "0.10") == {"called": 0, "failures": []}


def test_every_way_is_timed_in_every_round(contender: contest.Contender) -> None:
    assert contest.take_turns([contender], Options(rounds=2, calls=3)) == {}

    rows = list(contest.time_rows(contender))
    assert [row.name.rpartition(" 0.1.0, ")[2] for row in rows] == ["sync", "async", "sync, rows written meanwhile"]
    assert all(row.ratio and row.value for row in rows)
    assert [len(times) for times in contender.times.values()] == [2, 2, 2]


def test_a_player_that_ends_is_left_out_with_its_last_words(server: RealServer) -> None:
    with pytest.raises(UnavailableError, match=r"its process ended: .*No module named adapters\.nobody"):
        Player("nobody", sys.executable, server.url)


def test_a_player_whose_python_is_gone_is_left_out(server: RealServer, tmp_path: Path) -> None:
    with pytest.raises(UnavailableError, match="its Python cannot be run"):
        Player(OURS.module, str(tmp_path / "python"), server.url)


def test_a_pipeline_is_one_round_trip_and_each_of_its_commands_counts(proxy: CountingProxy) -> None:
    with Redis(port=proxy.port) as client:
        client.ping()
        proxy.take()
        client.ping()
        client.set("a", b"*1\r\n$4\r\nPING\r\n")
        assert proxy.take() == Traffic(commands=2, trips=2)

        with client.pipeline(transaction=True) as pipeline:
            pipeline.set("a", 1).incr("a").get("a").execute()
        assert proxy.take() == Traffic(commands=5, trips=1)  # MULTI and EXEC are two of them


@pytest.mark.parametrize(("reader", "sent", "commands"), [(Resp, RESP, 2), (Postgres, POSTGRES, 2)])
def test_commands_are_counted_however_they_are_cut(reader: type, sent: bytes, commands: int) -> None:
    for at in range(len(sent) + 1):
        each = reader()
        assert each.read(sent[:at]) + each.read(sent[at:]) == commands


def test_an_environment_that_cannot_be_made_says_why(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv(environments.FOLDER, str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))

    with pytest.raises(UnavailableError, match="uv, which makes the environments, is not installed"):
        ROSTER[1].python()


def test_every_peer_is_pinned() -> None:
    assert [entry.requirements[0].count("==") for entry in ROSTER if entry is not OURS] == [1] * (len(ROSTER) - 1)
