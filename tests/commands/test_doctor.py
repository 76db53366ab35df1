"""What ``manage.py budget_doctor`` finds on servers that are well, and on those that are not."""

from __future__ import annotations

import json
import time
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from coreason_budget import service
from coreason_budget.management.server import Server
from coreason_budget.models import SpendRecord

from ..conftest import django_redis_alias
from ..waiting import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_django import Settings

    from ..conftest import Backend
    from ..proxy import TcpProxy
    from ..servers import RealServer

    NewServer = Callable[..., RealServer]
    UseServer = Callable[[RealServer | TcpProxy], None]

pytestmark = pytest.mark.django_db(transaction=True)


def examine(*arguments: str) -> tuple[int, dict[str, tuple[str, str, str]]]:
    """Return the exit code, and per check the level, what was found and the remedy."""
    out, code = StringIO(), 0
    try:
        call_command("budget_doctor", "--json", *arguments, stdout=out)
    except SystemExit as ended:
        code = int(str(ended.code))
    findings = json.loads(out.getvalue())
    return code, {item["check"]: (item["level"], item["what"], item["remedy"]) for item in findings}


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


# The ledger and the database


def test_a_journal_that_nobody_drains_is_warned_of(backend: Backend) -> None:
    with backend.client() as client:
        client.xadd("{coreason-budget}:journal", {"c": "1"}, id=f"{(int(time.time()) - 600) * 1000}-0")

    _, found = examine()

    assert found["journal"][0] == "warning"
    assert found["journal"][1].startswith("1 charge waits in the journal, the oldest for 60")
    assert "budget_drain" in found["journal"][2]


def test_young_entries_are_no_trouble(backend: Backend) -> None:
    with backend.client() as client:
        client.xadd("{coreason-budget}:journal", {"c": "1"})

    assert examine()[1]["journal"][0] == "ok"


def test_a_full_journal_is_an_error(backend: Backend, settings: Settings) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "JOURNAL_MAX_LENGTH": 100}
    with backend.client() as client:
        for _ in range(100):
            client.xadd("{coreason-budget}:journal", {"c": "1"})

    code, found = examine()

    assert (code, found["journal"][0]) == (1, "error")
    assert found["journal"][1].endswith("It is full: calls are refused.")


@pytest.mark.parametrize(("seconds", "level"), [(60, "info"), (900, "warning")])
def test_overdue_holds_are_found(backend: Backend, seconds: int, level: str) -> None:
    now = int(time.time() * 1000)
    with backend.client() as client:
        client.zadd("{coreason-budget}:deadlines", {"due": now - seconds * 1000, "young": now + 600_000})

    _, found = examine()

    assert found["holds"][0] == level
    assert found["holds"][1].startswith("1 hold is past its deadline, the first by ")


@pytest.mark.usefixtures("backend")
def test_the_last_proof_of_the_site_is_told_once_there_was_one() -> None:
    assert "verified" not in examine()[1]

    service.charge("ann", "0.25")

    level, what, _ = examine()[1]["verified"]
    assert (level, what) == ("ok", "The site's account was proved against the database 0 s ago and was right.")


def test_a_proof_that_had_to_correct_the_site_is_a_warning(backend: Backend) -> None:
    service.charge("ann", "0.25")
    service.status("ann")
    with backend.client() as client:
        client.hincrby("{coreason-budget}:a:global:", "sd", 1_500_000_000)
    with pytest.raises(SystemExit):
        call_command("budget_reconcile", stdout=StringIO())

    level, what, remedy = examine()[1]["verified"]

    assert level == "warning"
    assert what.endswith(" ago and was corrected by -1.5 USD (day).")
    assert "budget_reconcile" in remedy


@pytest.mark.usefixtures("backend")
def test_uncounted_records_are_found() -> None:
    SpendRecord.objects.create(charge_id="1", user_id="ann", cost_nanos=1, at=timezone.now())

    assert examine()[1]["uncounted"][:2] == (
        "info",
        "1 record was written while Redis was down and is not counted there yet.",
    )


@pytest.mark.usefixtures("backend")
def test_a_migration_that_is_not_applied_is_an_error() -> None:
    recorder = MigrationRecorder(connection)
    newest = max(name for app, name in recorder.applied_migrations() if app == "coreason_budget")
    recorder.record_unapplied("coreason_budget", newest)
    try:
        code, found = examine()
    finally:
        recorder.record_applied("coreason_budget", newest)

    assert code == 1
    assert found["migrations"] == (
        "error",
        f"Not applied to 'default': {newest}.",
        "Run manage.py migrate coreason_budget --database default.",
    )
    assert "uncounted" not in found


@pytest.mark.usefixtures("backend")
def test_a_database_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    def fail(_: str) -> list[str]:
        raise OperationalError("no such server")

    monkeypatch.setattr("coreason_budget.management.doctor._unapplied", fail)

    code, found = examine()

    assert code == 1
    assert found["database"][:2] == ("error", "The database cannot be used: OperationalError: no such server")
