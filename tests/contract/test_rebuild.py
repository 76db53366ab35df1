"""Accounts that Redis lost, or that are in doubt, are built again from the database and the journal."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pytest
from django.db import OperationalError

from coreason_budget import BudgetExceededError
from coreason_budget.ledger.scripts import script
from coreason_budget.ledger.steps import Query
from coreason_budget.models import SpendRecord
from coreason_budget.periods import from_ms
from coreason_budget.scopes import Scope, Subject

from .driving import finish
from .tools import booked, held, lose_accounts, spent

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from coreason_budget.ledger.steps import Operation
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)

ANN = Subject(Scope.USER, "ann")


def record(clock: Clock, cost: str, *, user: str = "ann", project: str = "", days: float = 0, **fields: Any) -> None:
    values = {"charge_id": f"{user}-{SpendRecord.objects.count()}", "journal_id": 0, **fields}
    SpendRecord.objects.create(
        user_id=user,
        project_id=project,
        cost_nanos=round(float(cost) * 10**9),
        at=from_ms(clock.ms) - timedelta(days=days),
        **values,
    )


def begun(budget: BudgetManager, rebuild: Operation[Any]) -> Any:
    """Drive a rebuild by hand up to the sum over the records, and return that step; it is not performed."""
    step = rebuild.send(next(rebuild).perform(budget.ledger))  # the first is the floor of the journal
    while not isinstance(step, Query):
        step = rebuild.send(step.perform(budget.ledger))
    return step


def test_a_flush_between_charges_forgets_nothing(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    total = 0
    for nanos in (1, 999_999_999, 123_456_789):
        total += nanos
        driver(budget, "charge", "ann", f"{nanos / 10**9:.9f}", "apollo")
        assert budget.flush(10)
        with backend.client() as client:
            client.flushall()

        status = driver(budget, "status", "ann", "apollo")

        assert [item.spent * 10**9 for item in status] == [total] * 3


def test_a_limit_holds_after_a_flush(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    driver(budget, "charge", "ann", "0.95")
    with backend.client() as client:
        client.flushall()

    with pytest.raises(BudgetExceededError):
        driver(budget, "reserve", "ann", amount="0.06")
    driver(budget, "reserve", "ann", amount="0.05")


def test_records_that_redis_has_never_seen_are_counted_at_the_first_call(
    driver: Driver, make: Make, clock: Clock
) -> None:
    budget = make(daily_user_limit_usd="9", weekly_user_limit_usd="9", monthly_user_limit_usd="9")
    record(clock, "0.1", project="apollo")
    record(clock, "0.2", days=1)
    record(clock, "0.4", days=7)
    record(clock, "0.8", days=40)
    record(clock, "1.6", user="bob")
    record(clock, "3.2", journal_id=None)
    record(clock, "-0.05", kind="refund")

    periods = [spent(driver, budget, "ann", period=period) for period in ("day", "week", "month")]

    assert periods == ["3.25", "3.45", "3.85"]
    assert spent(driver, budget, "ann", "apollo", scope="project") == "0.1"
    assert spent(driver, budget, "ann", scope="global") == "4.85"


def test_a_charge_that_waits_in_the_journal_is_counted_once(
    driver: Driver, budget: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as down:
        down.setattr("coreason_budget.ledger.records.store", _refuse)
        driver(budget, "charge", "ann", "0.1", "apollo")
        lose_accounts(backend)
        assert (spent(driver, budget, "ann"), booked()) == ("0.1", "0")

    assert budget.ledger.database.call(budget.ledger.journal.write_pending) == 1
    assert (spent(driver, budget, "ann"), booked()) == ("0.1", "0.1")
    lose_accounts(backend)
    assert [f"{item.spent:f}" for item in driver(budget, "status", "ann", "apollo")] == ["0.1", "0.1", "0.1"]


def _refuse(bookings: object) -> None:
    raise OperationalError("down")


def test_a_charge_that_is_in_the_journal_and_in_the_database_is_counted_once(
    driver: Driver, budget: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The row was committed and the process died before it took the entry out."""
    with monkeypatch.context() as killed:
        killed.setattr(type(budget.ledger.journal), "_ack", lambda *_: iter(()))
        driver(budget, "charge", "ann", "0.1")
        assert budget.flush(10)
    with backend.client() as client:
        assert client.xlen("{coreason-budget}:journal") == 1
    lose_accounts(backend)

    assert (spent(driver, budget, "ann"), booked()) == ("0.1", "0.1")

    assert budget.ledger.run(budget.ledger.journal.drain()) == 1
    lose_accounts(backend)
    assert (spent(driver, budget, "ann"), booked()) == ("0.1", "0.1")


def test_an_account_in_doubt_is_rebuilt_before_the_next_call(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    driver(budget, "charge", "ann", "0.1")
    driver(budget, "reserve", "ann", amount="0.2")
    with backend.client() as client:
        client.hincrby("{coreason-budget}:a:user:ann", "sd", 700_000_000)  # what a double delivery leaves
    assert spent(driver, budget, "ann") == "0.8"

    keys = ["{coreason-budget}:journal", "{coreason-budget}:a:user:ann"]
    assert budget.ledger.run(budget.ledger.call("ack", keys, ["", "x", "doubt", "2"]))[2] == "1"

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.1", "0.2")


def test_a_rebuild_that_has_summed_before_a_doubt_does_not_end_it(
    driver: Driver, budget: BudgetManager, backend: Backend, clock: Clock
) -> None:
    driver(budget, "charge", "ann", "0.1")
    assert budget.flush(10)
    lose_accounts(backend)
    rebuild = budget.ledger.rebuild(ANN)
    summed = begun(budget, rebuild).perform(budget.ledger)
    record(clock, "0.7", charge_id="unheard of", journal_id=None)
    keys = ["{coreason-budget}:journal", "{coreason-budget}:a:user:ann"]
    assert budget.ledger.run(budget.ledger.call("ack", keys, ["", "unheard of", "doubt", "2"]))[2] == "1"

    assert finish(budget, rebuild, rebuild.send(summed)).rebuilt is True

    assert spent(driver, budget, "ann") == "0.8"


def test_a_row_whose_entry_is_gone_puts_its_accounts_in_doubt(
    driver: Driver, budget: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Redis lost its data after the charge and before the row was written; the account was rebuilt in between."""
    with monkeypatch.context() as slow:
        slow.setattr("coreason_budget.ledger.records.store", _refuse)
        driver(budget, "charge", "ann", "0.1")
        with backend.client() as client:
            client.flushall()
        assert spent(driver, budget, "ann") == "0"  # known to this process alone

    assert budget.ledger.database.call(budget.ledger.journal.write_pending) == 1

    assert (spent(driver, budget, "ann"), spent(driver, budget, "ann", scope="global")) == ("0.1", "0.1")


def test_a_charge_during_a_rebuild_is_counted_once(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    driver(budget, "charge", "ann", "0.1")
    assert budget.flush(10)
    lose_accounts(backend)
    rebuild = budget.ledger.rebuild(ANN)
    step = begun(budget, rebuild)

    driver(budget, "charge", "ann", "0.2")
    assert budget.flush(10)
    assert finish(budget, rebuild, step).rebuilt is True

    assert (spent(driver, budget, "ann"), booked()) == ("0.3", "0.3")


def test_of_two_rebuilders_the_first_to_end_wins(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    driver(budget, "charge", "ann", "0.1")
    lose_accounts(backend)
    operations = [budget.ledger.rebuild(ANN, "force") for _ in range(2)]
    steps = [begun(budget, rebuild) for rebuild in operations]

    assert finish(budget, operations[1], steps[1]).rebuilt is True
    driver(budget, "reserve", "ann", amount="0.3")
    driver(budget, "charge", "ann", "0.2")
    finish(budget, operations[0], steps[0])

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.3", "0.3")


def test_a_rebuild_of_an_account_that_is_lost_meanwhile_starts_over(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    driver(budget, "charge", "ann", "0.1")
    lose_accounts(backend)
    rebuild = budget.ledger.rebuild(ANN)
    step = begun(budget, rebuild)
    lose_accounts(backend)
    driver(budget, "charge", "ann", "0.2")

    finish(budget, rebuild, step)

    assert spent(driver, budget, "ann") == "0.3"


def test_a_rebuild_whose_account_is_lost_and_whose_begin_is_executed_once_more_starts_over(
    driver: Driver, budget: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(budget, "charge", "ann", "0.1")
    lose_accounts(backend)
    sent: list[Any] = []
    execute = budget.ledger.connections.execute
    with monkeypatch.context() as patch:
        patch.setattr(budget.ledger.connections, "execute", lambda args: (sent.append(args), execute(args))[1])  # type: ignore[func-returns-value]
        rebuild = budget.ledger.rebuild(ANN)
        step = begun(budget, rebuild)
    driver(budget, "charge", "ann", "0.2")
    assert budget.flush(10)
    lose_accounts(backend)
    (begin,) = (args for args in sent if args[1] == script("rebuild_begin").sha)
    execute(begin)  # as a retry does, or a proxy that sends it twice

    finish(budget, rebuild, step)

    assert spent(driver, budget, "ann") == "0.3"


def test_a_rebuild_across_midnight_starts_over(
    driver: Driver, budget: BudgetManager, backend: Backend, clock: Clock
) -> None:
    driver(budget, "charge", "ann", "0.1")
    lose_accounts(backend)
    rebuild = budget.ledger.rebuild(ANN)
    step = begun(budget, rebuild)
    clock.move(days=1)

    finish(budget, rebuild, step)

    assert spent(driver, budget, "ann") == "0"


def test_verifying_corrects_an_account_that_is_wrong_and_tells_by_how_much(
    driver: Driver, budget: BudgetManager, backend: Backend, clock: Clock
) -> None:
    driver(budget, "charge", "ann", "0.3")
    driver(budget, "check", "ann")
    with backend.client() as client:
        client.hincrby("{coreason-budget}:a:user:ann", "sd", -200_000_000)
    verify = budget.ledger.rebuild
    assert budget.ledger.run(verify(ANN, "verify")).rebuilt is False  # it was verified when it was opened
    clock.move(hours=1)

    drift = budget.ledger.run(verify(ANN, "verify"))

    assert (drift.rebuilt, {period.value: nanos for period, nanos in drift.corrections.items()}) == (
        True,
        {"day": 200_000_000},
    )
    assert spent(driver, budget, "ann") == "0.3"


def test_more_entries_than_a_rebuild_merges_are_drained_first(
    driver: Driver, budget: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coreason_budget.ledger.rebuild.MERGED_AT_MOST", 3)
    monkeypatch.setattr("coreason_budget.ledger.journal.PAGE", 2)
    with monkeypatch.context() as killed:
        killed.setattr(type(budget.ledger.journal), "write_pending", lambda _: 0)
        for _ in range(7):
            driver(budget, "charge", "ann", "0.1")
    lose_accounts(backend)

    assert spent(driver, budget, "ann") == "0.7"
    assert SpendRecord.objects.count() == 7
