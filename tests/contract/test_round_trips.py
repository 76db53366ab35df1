"""The warm path: one script to reserve, one to charge, and no query to the database in front of anybody."""

from __future__ import annotations

from threading import current_thread
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import BudgetExceededError
from coreason_budget.ledger.steps import Command, Query

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List what operations do: the command they send, or ``query``."""
    seen: list[str] = []

    def watch(kind: type, name: str, told: Callable[[Any], str]) -> None:
        perform = getattr(kind, name)

        def watched(self: Any, context: Any) -> Any:
            if current_thread().name != "coreason-budget-refusals":  # which nobody waits for
                seen.append(told(self))
            return perform(self, context)

        monkeypatch.setattr(kind, name, watched)

    for name in ("perform", "aperform"):
        watch(Command, name, lambda command: str(command.args[0]))
        watch(Query, name, lambda _: "query")
    return seen


@pytest.fixture
def warm(driver: Driver, budget: BudgetManager) -> BudgetManager:
    with driver.entered(budget.reservation("ann", "apollo", amount="0.01")) as hold:
        driver(hold, "charge", cost="0.01")
    driver(budget, "status", "ann", "apollo")
    assert budget.flush(10)
    return budget


def test_each_operation_is_one_script_and_no_query(driver: Driver, warm: BudgetManager, asked: list[str]) -> None:
    hold = driver(warm, "reserve", "ann", "apollo", amount="0.1")
    calls: dict[str, Callable[[], Any]] = {
        "reserve": lambda: driver(warm, "reserve", "ann", "apollo", amount="0.1"),
        "check": lambda: driver(warm, "check", "ann", "apollo", amount="0.1"),
        "charge": lambda: _without_the_record(warm, lambda: driver(warm, "charge", "ann", "0.01", "apollo")),
        "status": lambda: driver(warm, "status", "ann", "apollo"),
        "release": lambda: driver(hold, "release"),
    }
    for name, call in calls.items():
        asked.clear()
        call()
        assert (name, asked) == (name, ["EVALSHA"])


def test_a_call_is_two_scripts_if_its_charge_is_final(driver: Driver, warm: BudgetManager, asked: list[str]) -> None:
    with driver.entered(warm.reservation("ann", "apollo", amount="0.1")) as hold:
        _without_the_record(warm, lambda: driver(hold, "charge", cost="0.05", final=True))

    assert asked == ["EVALSHA", "EVALSHA"]


def test_a_refusal_is_one_script_too(driver: Driver, warm: BudgetManager, asked: list[str]) -> None:
    with pytest.raises(BudgetExceededError):
        driver(warm, "reserve", "ann", "apollo", amount=2)

    assert asked == ["EVALSHA"]


def test_a_subject_never_seen_before_costs_one_sum_each(driver: Driver, warm: BudgetManager, asked: list[str]) -> None:
    driver(warm, "reserve", "new", "apollo", amount="0.1")

    # reserve; then the floor of the journal, begin, entries, records, end; and once more
    assert asked == ["EVALSHA", "query", "EVALSHA", "XRANGE", "query", "EVALSHA", "EVALSHA"]


def test_a_new_day_costs_nothing_more(driver: Driver, warm: BudgetManager, asked: list[str], clock: Clock) -> None:
    clock.move(days=1)
    driver(warm, "status", "ann", "apollo")  # limits are read again after a night
    clock.move(seconds=1)
    asked.clear()

    driver(warm, "reserve", "ann", "apollo", amount="0.1")

    assert asked == ["EVALSHA"]


def test_the_server_sees_one_command_for_a_reserve_and_one_for_a_charge(
    driver: Driver, warm: BudgetManager, backend: Backend
) -> None:
    if backend.server is None:
        pytest.skip("a fake server keeps no statistics")
    with backend.client() as client:
        client.config_resetstat()

        def write() -> None:
            hold = driver(warm, "reserve", "ann", "apollo", amount="0.1")
            driver(hold, "charge", cost="0.1")

        _without_the_record(warm, write)
        calls = {name: figures["calls"] for name, figures in client.info("commandstats").items()}

    assert calls["cmdstat_evalsha"] == 2
    assert "cmdstat_eval" not in calls


def test_the_ledger_does_not_touch_the_callers_connection(
    driver: Driver, warm: BudgetManager, django_assert_num_queries: Any
) -> None:
    with django_assert_num_queries(0):
        hold = driver(warm, "reserve", "ann", "apollo", amount="0.1")
        driver(hold, "charge", cost="0.1")
        driver(warm, "status", "ann", "apollo")
        driver(warm, "check", "unseen")


def test_a_server_that_forgot_its_scripts_is_taught_again(
    driver: Driver, warm: BudgetManager, backend: Backend, asked: list[str]
) -> None:
    with backend.client() as client:
        client.script_flush()

    driver(warm, "reserve", "ann", "apollo", amount="0.1")
    driver(warm, "reserve", "ann", "apollo", amount="0.1")

    assert asked == ["EVALSHA", "EVAL", "EVALSHA"]


def _without_the_record(budget: BudgetManager, call: Callable[[], Any]) -> None:
    """Leave out what happens on the ledger's own thread after a charge."""
    journal = type(budget.ledger.journal)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(journal, "write_pending", lambda _: 0)
        call()
    budget.ledger.journal._pending.clear()


def test_a_journal_entry_carries_the_record_until_then(
    driver: Driver, make: Make, backend: Backend, clock: Clock
) -> None:
    budget = make(daily_user_limit_usd="1")
    _without_the_record(budget, lambda: driver(budget, "charge", "ann", "0.1", "apollo", "gpt-4o", "c-1"))

    with backend.client() as client:
        ((_, fields),) = client.xrange("{coreason-budget}:journal")
    assert fields == {
        "c": "c-1",
        "n": "100000000",
        "k": "charge",
        "t": str(clock.ms),
        "h": "",
        "p": '{"u":"ann","p":"apollo","m":"gpt-4o"}',
    }
