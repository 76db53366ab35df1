"""``manage.py budget_drain``: what it writes, ends and tells of, once and for as long as it follows."""

from __future__ import annotations

import os
import signal
import threading
from io import StringIO
from typing import TYPE_CHECKING, Any

import pytest
from django.core.management import call_command, load_command_class
from django.core.management.base import CommandError

from coreason_budget import BudgetManager, spend_recorded
from coreason_budget.models import SpendRecord

from .terminal import Terminal, journal_length, leave_in_journal, run

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..conftest import Backend
    from ..contract.tools import Clock

pytestmark = pytest.mark.django_db(transaction=True)


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
