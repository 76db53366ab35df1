"""The commands as an operator runs them: what they print, what they change, how they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command, load_command_class
from django.core.management.base import CommandError

from coreason_budget import ANONYMOUS, BudgetConfig, BudgetManager, service, spend_recorded
from coreason_budget.models import ProjectLimit, SpendRecord
from coreason_budget.scopes import GLOBAL, Scope, Subject, subject_of_key

from .conftest import django_redis_alias
from .contract.tools import Clock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_django import Settings

    from .conftest import Backend

pytestmark = pytest.mark.django_db(transaction=True)

COMMANDS = ["budget_status", "budget_drain", "budget_reconcile", "budget_doctor", "budget_alert_preview"]


class Terminal(StringIO):
    """What is printed, as on a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def budget(backend: Backend, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[BudgetManager]:
    """Return the project's manager, at noon of a day to come."""
    manager = BudgetManager(
        BudgetConfig(daily_user_limit_usd="1", daily_project_limit_usd="3", daily_global_limit_usd="100"), clock=clock
    )
    monkeypatch.setattr(service, "_manager", manager)
    yield manager
    manager.close_sync()


@pytest.fixture
def unreachable(settings: Settings) -> None:
    """Have nobody listen where Redis should be."""
    settings.CACHES = {**settings.CACHES, "default": django_redis_alias("redis://127.0.0.1:1/0")}


def run(name: str, *arguments: str) -> str:
    """Run a command and return what it printed."""
    out = StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


def run_and_fail(name: str, *arguments: str) -> tuple[int | str | None, str]:
    """Run a command that ends with an exit code; return it and what was printed."""
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command(name, *arguments, stdout=out)
    return ended.value.code, out.getvalue()


def leave_in_journal(budget: BudgetManager, monkeypatch: pytest.MonkeyPatch, *costs: str) -> None:
    """Charge, and have nobody write it, as if the worker had been killed."""
    with monkeypatch.context() as patch:
        patch.setattr(budget.ledger.database, "write", lambda work: budget.ledger.journal._pending.clear())
        for cost in costs:
            budget.charge("ann", cost)


def journal_length(backend: Backend) -> int:
    with backend.client() as client:
        return int(client.xlen("{coreason-budget}:journal"))


def lose_money(backend: Backend, key: str, nanos: int) -> None:
    """Make an account count wrong by so many nano-USD."""
    with backend.client() as client:
        client.hincrby(f"{{coreason-budget}}:a:{key}", "sd", nanos)


# All commands


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_an_example(name: str) -> None:
    parser = load_command_class("coreason_budget", name).create_parser("manage.py", name)

    lines = parser.format_help().splitlines()

    assert lines[-1].startswith(f"  manage.py {name}")
    assert lines[-2].startswith("Example")
    assert max(len(line) for line in lines) <= 80


@pytest.mark.parametrize("name", ["budget_status", "budget_drain", "budget_reconcile"])
@pytest.mark.usefixtures("unreachable")
def test_a_command_that_cannot_ask_redis_says_so_with_an_exit_code_of_its_own(name: str) -> None:
    with pytest.raises(CommandError, match="Redis cannot be used") as raised:
        run(name)

    assert raised.value.returncode == 2


def test_a_command_does_not_open_the_log_file_of_the_workers(tmp_path: Path) -> None:
    log = tmp_path / "app.log"
    (tmp_path / "settings_of_commands.py").write_text(
        "from tests.settings import *\n"
        f"COREASON_BUDGET = {{'LOG_PATH': {str(log)!r}, 'REDIS_URL': 'redis://127.0.0.1:1/0'}}\n"
    )
    environment = {
        **os.environ,
        "DJANGO_SETTINGS_MODULE": "settings_of_commands",
        "PYTHONPATH": os.pathsep.join([str(tmp_path), str(Path.cwd())]),
    }

    ended = subprocess.run(
        [sys.executable, "-m", "django", "budget_status"], env=environment, capture_output=True, text=True, check=False
    )

    assert ended.returncode == 2, ended.stderr
    assert "The budget is unavailable (status)" in ended.stderr
    assert not log.exists()


# budget_status


def test_status_shows_the_whole_site_unless_told_otherwise(budget: BudgetManager) -> None:
    budget.charge("ann", "0.25", "apollo")

    assert run("budget_status").splitlines() == [
        "SCOPE   SUBJECT  PERIOD  LIMIT  SPENT  HELD  REMAINING  RESETS AT",
        "global  -        day       100   0.25     0      99.75  2030-03-14 00:00 UTC",
    ]


def test_status_shows_a_user_and_a_project_and_the_site_that_counts_too(budget: BudgetManager) -> None:
    budget.charge("ann", "0.25", "apollo")
    budget.reserve("ann", "apollo", amount="0.000000001")
    ProjectLimit.objects.create(project_id="apollo", period="month", amount_usd=None)

    assert run("budget_status", "--user", "ann", "--project", "apollo").splitlines() == [
        "SCOPE    SUBJECT  PERIOD      LIMIT  SPENT         HELD     REMAINING  RESETS AT",
        "user     ann      day             1   0.25  0.000000001   0.749999999  2030-03-14 00:00 UTC",
        "project  apollo   day             3   0.25  0.000000001   2.749999999  2030-03-14 00:00 UTC",
        "project  apollo   month   unlimited   0.25  0.000000001             -  2030-04-01 00:00 UTC",
        "global   -        day           100   0.25  0.000000001  99.749999999  2030-03-14 00:00 UTC",
    ]


def test_status_as_json_has_amounts_as_text(budget: BudgetManager) -> None:
    budget.charge(ANONYMOUS, "0.1")

    assert json.loads(run("budget_status", "--anonymous", "--json"))[0] == {
        "scope": "user",
        "subject": "",
        "period": "day",
        "limit": "1",
        "spent": "0.1",
        "held": "0",
        "remaining": "0.9",
        "resets_at": "2030-03-14T00:00:00+00:00",
    }
    assert " anonymous " in run("budget_status", "--anonymous")


@pytest.mark.usefixtures("backend")
def test_status_of_accounts_without_a_limit_says_why_there_is_nothing_to_show(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "DAILY_GLOBAL_LIMIT_USD": None}

    assert run("budget_status") == "There is no limit on these accounts, so nothing of them is counted.\n"
    assert json.loads(run("budget_status", "--json")) == []


@pytest.mark.usefixtures("budget")
def test_an_id_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(CommandError, match="--user must not be empty or blank"):
        run("budget_status", "--user", " ")


# budget_drain


def test_drain_writes_what_waits_in_the_journal(
    budget: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_in_journal(budget, monkeypatch, "0.1", "0.2")
    assert (SpendRecord.objects.count(), journal_length(backend)) == (0, 2)

    printed = run("budget_drain")

    assert printed == "2 charges written, 0 overdue holds ended, 0 uncounted records counted.\n"
    assert sorted(SpendRecord.objects.values_list("cost_nanos", flat=True)) == [100_000_000, 200_000_000]
    assert journal_length(backend) == 0


def test_drain_leaves_young_entries_to_the_workers_if_told_to(
    budget: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_in_journal(budget, monkeypatch, "0.1")

    assert run("budget_drain", "--older-than", "60").startswith("0 charges written")
    assert journal_length(backend) == 1


@pytest.mark.parametrize("seconds", ["-1", "nan", "inf"])
@pytest.mark.usefixtures("budget")
def test_drain_refuses_an_age_that_is_none(seconds: str) -> None:
    with pytest.raises(CommandError, match="--older-than must be 0 or more seconds"):
        run("budget_drain", f"--older-than={seconds}")


def test_drain_ends_all_overdue_holds_and_tells_receivers(budget: BudgetManager, clock: Clock) -> None:
    for _ in range(60):
        budget.reserve("ann", amount="0.01", ttl=60)
    clock.move(minutes=2)
    heard: list[str] = []

    def hear(receipt: Any, **_: object) -> None:
        heard.append(f"{receipt.cost:f}")

    spend_recorded.connect(hear)
    try:
        printed = run("budget_drain")
    finally:
        spend_recorded.disconnect(hear)

    assert printed == "0 charges written, 60 overdue holds ended, 0 uncounted records counted.\n"
    assert heard == ["0.01"] * 60
    assert SpendRecord.objects.filter(kind="expired").count() == 60
    assert f"{budget.status('ann')[0].spent:f}" == "0.6"


def test_drain_counts_records_that_were_written_while_redis_was_down(budget: BudgetManager, clock: Clock) -> None:
    budget.status("ann")
    for number in range(3):
        SpendRecord.objects.create(
            charge_id=f"direct-{number}",
            user_id="ann",
            cost_nanos=100_000_000,
            at="2030-03-13T12:00:00Z",
        )

    assert run("budget_drain").endswith("3 uncounted records counted.\n")
    assert f"{budget.status('ann')[0].spent:f}" == "0.3"
    assert not SpendRecord.objects.filter(journal_id=None).exists()


def test_drain_shows_its_progress_on_a_terminal(budget: BudgetManager, monkeypatch: pytest.MonkeyPatch) -> None:
    leave_in_journal(budget, monkeypatch, "0.1", "0.2")
    terminal = Terminal()

    call_command("budget_drain", stdout=terminal, no_color=True)

    assert terminal.getvalue() == (
        "\r2 of 2 charges written\n2 charges written, 0 overdue holds ended, 0 uncounted records counted.\n"
    )


@pytest.mark.usefixtures("budget")
def test_drain_shows_no_progress_where_there_is_none() -> None:
    terminal = Terminal()

    call_command("budget_drain", stdout=terminal, no_color=True)

    assert terminal.getvalue() == "0 charges written, 0 overdue holds ended, 0 uncounted records counted.\n"


class ScriptedStop(threading.Event):
    """Is set after so many waits, and keeps how long it was asked to wait instead of waiting."""

    def __init__(self, after: int) -> None:
        super().__init__()
        self.after = after
        self.waits: list[float | None] = []
        self.between: Callable[[int], None] = lambda _: None

    def wait(self, timeout: float | None = None) -> bool:
        self.waits.append(timeout)
        self.between(len(self.waits))
        return len(self.waits) > self.after


def follow(stop: threading.Event) -> tuple[str, str]:
    command: Any = load_command_class("coreason_budget", "budget_drain")
    command.stop = stop
    out, err = StringIO(), StringIO()
    call_command(command, "--follow", stdout=out, stderr=err)
    return out.getvalue(), err.getvalue()


def test_following_waits_longer_and_longer_while_there_is_nothing_to_do(
    budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    stop = ScriptedStop(after=8)
    stop.between = lambda wait: leave_in_journal(budget, monkeypatch, "0.1") if wait == 7 else None

    out, _ = follow(stop)

    assert stop.waits == [0.0, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 0.0, 0.5]
    assert out.splitlines() == ["1 charge written, 0 overdue holds ended, 0 uncounted records counted.", "Stopped."]


@pytest.mark.usefixtures("unreachable")
def test_following_goes_on_when_redis_does_not_answer() -> None:
    stop = ScriptedStop(after=2)

    out, err = follow(stop)

    assert out == "Stopped.\n"
    assert err.count("Trying again: Redis cannot be used") == 2


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.usefixtures("budget")
def test_following_ends_in_good_order_at_a_signal(number: signal.Signals) -> None:
    before = signal.getsignal(number)

    class Interrupted(ScriptedStop):
        def wait(self, timeout: float | None = None) -> bool:
            os.kill(os.getpid(), number)
            return threading.Event.wait(self, 20)

    out, _ = follow(Interrupted(after=1))

    assert out == "Stopped.\n"
    assert signal.getsignal(number) is before


@pytest.mark.usefixtures("budget")
def test_following_works_on_a_thread_where_no_signals_can_be_handled() -> None:
    printed: list[str] = []
    thread = threading.Thread(target=lambda: printed.append(follow(ScriptedStop(after=1))[0]))

    thread.start()
    thread.join(20)

    assert printed == ["Stopped.\n"]


# budget_reconcile


def test_reconcile_finds_nothing_where_all_is_right(budget: BudgetManager) -> None:
    budget.charge("ann", "0.25", "apollo")
    budget.status("ann", "apollo")

    assert run("budget_reconcile") == "3 accounts verified: all were right.\n"


def test_reconcile_corrects_and_reports_what_had_drifted(budget: BudgetManager, backend: Backend) -> None:
    budget.charge("ann", "0.25", "apollo")
    budget.status("ann", "apollo")
    lose_money(backend, "user:ann", -150_000_000)
    lose_money(backend, "global:", 1)

    code, printed = run_and_fail("budget_reconcile")

    assert code == 1
    assert printed.splitlines() == [
        "SCOPE   SUBJECT  PERIOD  CORRECTED BY",
        "user    ann      day            +0.15",
        "global  -        day     -0.000000001",
        "3 accounts verified: 2 had drifted and are corrected.",
    ]
    assert {f"{item.spent:f}" for item in budget.status("ann", "apollo")} == {"0.25"}
    assert run("budget_reconcile") == "3 accounts verified: all were right.\n"


def test_reconcile_as_json(budget: BudgetManager, backend: Backend) -> None:
    budget.charge("ann", "0.25")
    budget.status("ann")
    lose_money(backend, "user:ann", 100)

    assert run_and_fail("budget_reconcile", "--json") == (
        1,
        json.dumps(
            {
                "accounts": 2,
                "corrections": [{"scope": "user", "subject": "ann", "period": "day", "corrected_by": "-0.0000001"}],
            },
            indent=2,
        )
        + "\n",
    )


def test_reconcile_of_one_account_leaves_the_others(budget: BudgetManager, backend: Backend) -> None:
    budget.status("ann", "apollo")
    lose_money(backend, "user:ann", 100)
    lose_money(backend, "project:apollo", 100)

    code, printed = run_and_fail("budget_reconcile", "--project", "apollo")

    assert code == 1
    assert printed.endswith(
        "project  apollo   day       -0.0000001\n1 account verified: 1 had drifted and is corrected.\n"
    )
    assert f"{budget.status('ann')[0].spent:f}" == "0.0000001"


def test_reconcile_finds_accounts_whatever_their_ids(budget: BudgetManager, backend: Backend) -> None:
    for user in ("ann:b", "*", "ü/%25", ANONYMOUS):
        budget.status(user)
    with backend.client() as client:
        client.set("{coreason-budget}:a:group:x", "no account of ours")

    assert run("budget_reconcile") == "5 accounts verified: all were right.\n"


@pytest.mark.usefixtures("backend")
def test_reconcile_finds_accounts_whatever_the_key_prefix(settings: Settings) -> None:
    for prefix in ("a[b]*?", "a", "back\\slash^-"):
        settings.COREASON_BUDGET = {"LOG_PATH": "", "KEY_PREFIX": prefix}
        service.charge("ann", "0.1")
        service.status("ann")

        assert run("budget_reconcile") == "2 accounts verified: all were right.\n"


def test_reconcile_keeps_what_is_held(budget: BudgetManager) -> None:
    budget.reserve("ann", amount="0.5")

    run("budget_reconcile")

    assert f"{budget.status('ann')[0].held:f}" == "0.5"


@pytest.mark.parametrize(
    "subject", [GLOBAL, Subject(Scope.USER), Subject(Scope.USER, "a:b %ü"), Subject(Scope.PROJECT, "x")]
)
def test_a_key_names_its_subject(subject: Subject) -> None:
    assert subject_of_key(subject.key) == subject


@pytest.mark.parametrize("key", ["", "user", "group:x", "user:a b", "user:%zz", "user:%ff"])
def test_a_key_that_is_no_subjects_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        subject_of_key(key)
