"""What ``manage.py budget_doctor`` finds on servers that are well, and on those that are not."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command

from coreason_budget import service
from coreason_budget.management.server import Server

from ..conftest import django_redis_alias
from ..waiting import until
from .examination import examine

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

    from ..conftest import Backend
    from ..proxy import TcpProxy
    from ..servers import RealServer

    NewServer = Callable[..., RealServer]
    UseServer = Callable[[RealServer | TcpProxy], None]

pytestmark = pytest.mark.django_db(transaction=True)


def levels(found: dict[str, tuple[str, str, str]]) -> dict[str, str]:
    return {check: level for check, (level, _, _) in found.items()}


def patch_info(monkeypatch: pytest.MonkeyPatch, **values: Any) -> None:
    monkeypatch.setattr(Server, "info", values)


# Servers that are well


def test_a_server_that_keeps_all_it_should_is_well(new_server: NewServer, use_server: UseServer) -> None:
    use_server(new_server(aof=True, options={"appendfsync": "everysec"}))
    service.charge("ann", "0.1")

    code, found = examine("--strict")

    assert code == 0
    assert levels(found) == {
        "settings": "ok",
        "redis": "ok",
        "run_id": "ok",
        "role": "ok",
        "version": "ok",
        "eviction": "ok",
        "persistence": "ok",
        "clock": "ok",
        "script_cost": "info",
        "journal": "ok",
        "holds": "ok",
        "verified": "ok",
        "database": "ok",
        "migrations": "ok",
        "uncounted": "ok",
        "drained": "ok",
    }
    assert found["persistence"][1] == "appendonly is yes, appendfsync everysec."
    assert not any(remedy for _, _, remedy in found.values())


def test_a_look_changes_nothing(backend: Backend) -> None:
    examine()

    with backend.client() as client:
        assert client.keys("*") == []


def test_a_fake_cannot_show_its_restarts() -> None:
    code, found = examine()

    assert code == 0
    assert found["run_id"][0] == "warning"
    expected = ["settings", "redis", "run_id", "clock", "journal", "holds", "database", "migrations", "uncounted"]
    assert list(found) == expected


def test_findings_are_printed_aligned_with_their_remedies(new_server: NewServer, use_server: UseServer) -> None:
    use_server(new_server(options={"maxmemory": "50mb", "maxmemory-policy": "allkeys-lru"}))
    out = StringIO()

    with pytest.raises(SystemExit) as ended:
        call_command("budget_doctor", stdout=out)

    lines = out.getvalue().splitlines()
    assert ended.value.code == 1
    assert "ok       role         The server is a master." in lines
    (where,) = [number for number, line in enumerate(lines) if line.startswith("error  ")]
    assert lines[where].startswith("error    eviction     maxmemory-policy is allkeys-lru: charges that are not ")
    assert lines[where + 1] == (
        "                        Set maxmemory-policy to noeviction, or give the ledger a server of its own."
    )
    assert lines[-1].startswith("error: 1, warning: 1, ")


def test_warnings_count_where_they_are_told_to(new_server: NewServer, use_server: UseServer) -> None:
    use_server(new_server())

    assert examine()[0] == 0
    assert examine("--strict")[0] == 1


def test_a_cluster_is_asked_at_the_node_of_the_budget(new_server: NewServer, settings: Settings) -> None:
    server = new_server(options={"cluster-enabled": "yes"})
    with server.client() as client:
        client.execute_command("CLUSTER", "ADDSLOTSRANGE", 0, 16383)
        until(lambda: "cluster_state:ok" in str(client.execute_command("CLUSTER", "INFO", NEVER_DECODE=True)), 20)
    settings.COREASON_BUDGET = {"LOG_PATH": "", "REDIS_URL": server.url.replace("redis://", "redis+cluster://")}
    service.charge("ann", "0.1")
    out = StringIO()

    code, found = examine()
    call_command("budget_reconcile", stdout=out)

    assert code == 0
    assert {check for check, level in levels(found).items() if level != "ok"} == {"persistence", "script_cost"}
    assert out.getvalue() == "2 accounts verified: all were right.\n"


# Servers that are not


@pytest.mark.parametrize(
    ("policy", "level"),
    [("allkeys-lru", "error"), ("volatile-ttl", "warning"), ("noeviction", "ok")],
)
def test_eviction_takes_money_away(new_server: NewServer, use_server: UseServer, policy: str, level: str) -> None:
    use_server(new_server(options={"maxmemory": "50mb", "maxmemory-policy": policy}))

    assert levels(examine()[1])["eviction"] == level


@pytest.mark.parametrize(
    ("options", "level", "says"),
    [
        ({"appendonly": "no"}, "warning", "appendonly is no"),
        ({"appendfsync": "no"}, "warning", "appendfsync is no"),
        ({"appendfsync": "always"}, "ok", "appendfsync always"),
        ({"rename-command": 'CONFIG ""'}, "ok", "appendfsync cannot be asked"),
    ],
)
def test_what_a_crash_loses_is_said(
    new_server: NewServer, use_server: UseServer, options: dict[str, str], level: str, says: str
) -> None:
    use_server(new_server(aof=True, options=options))

    _, found = examine()

    assert found["persistence"][0] == level
    assert says in found["persistence"][1]


def test_a_replica_takes_no_charges(new_server: NewServer, use_server: UseServer) -> None:
    use_server(new_server(options={"replicaof": "127.0.0.1 1"}))

    code, found = examine()

    assert (code, found["role"][0]) == (1, "error")


def test_a_proxy_over_several_servers_is_found_out(
    real_server: RealServer, use_server: UseServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_server(real_server)
    patch_info(monkeypatch, run_id="0" * 40)

    code, found = examine()

    assert (code, found["run_id"][0]) == (1, "error")


@pytest.mark.parametrize(
    ("version", "level"), [("6.0.16", "error"), ("6.2.0", "ok"), ("7.0.15", "ok"), ("10.0.0", "ok")]
)
@pytest.mark.usefixtures("backend")
def test_an_old_server_lacks_commands(monkeypatch: pytest.MonkeyPatch, version: str, level: str) -> None:
    patch_info(monkeypatch, redis_version=version)

    assert levels(examine()[1])["version"] == level


@pytest.mark.parametrize(("seconds", "level", "says"), [(-60, "warning", "behind"), (60, "warning", "ahead of")])
@pytest.mark.usefixtures("backend")
def test_clocks_that_are_apart_are_warned_of(
    monkeypatch: pytest.MonkeyPatch, seconds: int, level: str, says: str
) -> None:
    ask = Server.ask

    def ask_wrong_clock(server: Server, *command: str | int) -> Any:
        reply = ask(server, *command)
        return (int(reply[0]) + seconds, reply[1]) if command == ("TIME",) else reply

    monkeypatch.setattr(Server, "ask", ask_wrong_clock)

    _, found = examine()

    assert found["clock"][0] == level
    assert says in found["clock"][1]


@pytest.mark.parametrize(("micros", "level"), [(40.0, "info"), (1_500.0, "warning")])
@pytest.mark.usefixtures("backend")
def test_slow_scripts_are_warned_of(monkeypatch: pytest.MonkeyPatch, micros: float, level: str) -> None:
    monkeypatch.setattr(Server, "commandstats", {"cmdstat_evalsha": {"usec_per_call": micros, "calls": 7}})

    assert levels(examine()[1])["script_cost"] == level


@pytest.mark.usefixtures("backend")
def test_a_slow_answer_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("coreason_budget.management.doctor._ping", lambda _: 0.4)

    assert examine()[1]["redis"][:2] == ("warning", "Redis answers in 400.00 ms (median of 5 PINGs).")


def test_a_server_that_does_not_answer_is_one_error_and_the_database_is_still_examined(settings: Settings) -> None:
    settings.CACHES = {**settings.CACHES, "default": django_redis_alias("redis://:s3cret@127.0.0.1:1/0")}

    code, found = examine()

    assert code == 1
    assert levels(found) == {
        "settings": "ok",
        "redis": "error",
        "database": "ok",
        "migrations": "ok",
        "uncounted": "ok",
    }


@pytest.mark.parametrize("password", ["", ":wr0ng@", "someone:wr0ng@"])
def test_no_password_is_shown(new_server: NewServer, settings: Settings, password: str) -> None:
    server = new_server(options={"requirepass": "s3cret"})
    settings.COREASON_BUDGET = {"LOG_PATH": "", "REDIS_URL": server.url.replace("://", f"://{password}")}

    code, found = examine()

    assert (code, found["redis"][0]) == (1, "error")
    assert "s3cret" not in str(found)
    assert "wr0ng" not in str(found)


@pytest.mark.parametrize(
    "setting",
    [{"REDIS_URL": "redis://:s3cret/rest@127.0.0.1:1"}, {"REDIS_URL": "http://:s3cret@127.0.0.1:1"}],
)
def test_wrong_settings_are_told_first_and_alone(settings: Settings, setting: dict[str, str]) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", **setting}

    code, found = examine()

    assert (code, levels(found)) == (1, {"settings": "error"})
    assert "(coreason_budget.E007)" in found["settings"][1]
    assert "s3cret" not in str(found)


@pytest.mark.usefixtures("backend")
def test_a_warning_of_the_settings_is_a_warning_here(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "ON_UNAVAILABLE": "allow"}

    code, found = examine()

    assert (code, found["settings"][0]) == (0, "warning")
    settings.SILENCED_SYSTEM_CHECKS = ["coreason_budget.W003"]
    assert examine()[1]["settings"][0] == "ok"
