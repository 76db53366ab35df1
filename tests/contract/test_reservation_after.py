"""What a reservation tells of itself, without asking anybody: its cost, whether it was charged, how accounts stand."""

from __future__ import annotations

import gc
import threading
from contextlib import suppress
from decimal import Decimal, localcontext
from typing import TYPE_CHECKING, Any

import pytest
from redis.exceptions import ConnectionError as RedisConnectionLost

from coreason_budget import BudgetExceededError, BudgetManager, HoldClosedError
from coreason_budget.ledger.steps import Command, Query
from coreason_budget.signals import budget_unavailable

from .tools import held, lose_accounts, records, spent, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.dispatch import Signal

    from coreason_budget import Reservation
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)

Figures = list[tuple[str, Decimal, Decimal, Decimal | None]]


def figures(hold: Reservation) -> Figures:
    return [(item.scope, item.spent, item.held, item.remaining) for item in hold.status]


def after(spent_usd: str, held_usd: str) -> Figures:
    """Return the figures of the accounts of ann and all."""
    s, h = Decimal(spent_usd), Decimal(held_usd)
    return [("user", s, h, 1 - s - h), ("global", s, h, 100 - s - h)]


def test_cost_counts_what_was_booked_and_a_repeated_charge_once(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    assert (hold.cost, hold.is_charged, hold.status) == (0, False, ())

    driver(hold, "charge", cost="0.000000001", charge_id="c-1")
    driver(hold, "charge", cost="0.000000001", charge_id="c-1")
    driver(hold, "charge", cost="0.7")

    with localcontext(prec=3):
        assert hold.cost == Decimal("0.700000001")
    assert hold.is_charged is True


def test_a_charge_of_nothing_is_a_charge(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")

    driver(hold, "charge", cost=0)

    assert (hold.cost, hold.is_charged) == (0, True)


def test_a_charge_that_another_call_has_booked_costs_this_one_nothing(driver: Driver, budget: BudgetManager) -> None:
    driver(budget, "charge", "ann", "0.2", charge_id="c-1")
    hold = driver(budget, "reserve", "ann", amount="0.5")

    driver(hold, "charge", cost="0.2", charge_id="c-1")

    assert (hold.cost, hold.is_charged) == (0, True)


def test_status_is_that_of_the_last_charge(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")

    receipt = driver(hold, "charge", cost="0.2")
    assert figures(hold) == after("0.2", "0.3")
    assert hold.status is receipt.status

    receipt = driver(hold, "charge", cost="0.1", final=True)
    assert figures(hold) == after("0.3", "0")
    assert hold.status is receipt.status
    driver(hold, "release")
    assert hold.status is receipt.status


@pytest.mark.parametrize("charges", [0, 1])
def test_status_after_a_release_is_that_of_its_own_round_trip(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch, charges: int
) -> None:
    driver(driver(budget, "reserve", "bob"), "release")  # the server learns the script
    other = driver(budget, "reserve", "ann", amount="0.3")
    hold = driver(budget, "reserve", "ann", amount="0.5")
    for _ in range(charges):
        driver(hold, "charge", cost="0.2")
    assert budget.flush(10)
    commands = count(monkeypatch)

    driver(hold, "release")
    stood = figures(hold)

    assert commands == ["EVALSHA"]
    assert stood == after("0.2" if charges else "0", "0.3")
    assert list(hold.status) == driver(budget, "status", "ann")
    driver(other, "release")
    assert figures(hold) == stood


def test_status_after_the_release_of_an_expired_hold_shows_what_came_back(
    driver: Driver, budget: BudgetManager, clock: Clock
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    clock.move(seconds=60)
    assert sweep(budget) == ["0.5"]

    driver(hold, "release")

    assert figures(hold) == after("0", "0")


@pytest.mark.parametrize("end", ["closed", "unknown"])
def test_status_after_the_release_of_a_hold_that_others_ended(
    driver: Driver, budget: BudgetManager, backend: Backend, end: str
) -> None:
    driver(budget, "reserve", "ann", amount="0.1")
    hold = driver(budget, "reserve", "ann", amount="0.5")
    made = hold._made()
    budget.ledger.run(budget.ledger.release(made.id, made.deposit))
    if end == "unknown":
        with backend.client() as client:
            client.delete(budget.ledger.keys.hold(made.id))

    driver(hold, "release")

    assert figures(hold) == after("0", "0.1")


def test_status_after_a_repeated_final_charge_is_that_of_the_release(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    driver(budget, "charge", "ann", "0.2", charge_id="c-1")
    driver(budget, "charge", "ann", "0.1")

    receipt = driver(hold, "charge", cost="0.2", charge_id="c-1", final=True)

    assert receipt.status[0].spent == Decimal("0.2")
    assert figures(hold) == after("0.3", "0")


@pytest.mark.parametrize("charges", [0, 1])
def test_a_release_never_rebuilds_what_was_lost(
    driver: Driver, budget: BudgetManager, backend: Backend, monkeypatch: pytest.MonkeyPatch, charges: int
) -> None:
    driver(driver(budget, "reserve", "bob"), "release")  # the server learns the script
    hold = driver(budget, "reserve", "ann", amount="0.5")
    for _ in range(charges):
        driver(hold, "charge", cost="0.2")
    assert budget.flush(10)
    lose_accounts(backend)
    commands = count(monkeypatch)

    driver(hold, "release")

    assert commands == ["EVALSHA"]
    assert figures(hold) == (after("0.2", "0.3") if charges else [])


def test_a_release_that_fails_leaves_what_the_last_charge_showed(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch, heard: Callable[[Signal], list[Any]]
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    driver(hold, "charge", cost="0.2")
    failures = heard(budget_unavailable)

    with monkeypatch.context() as patch:
        patch.setattr(budget.ledger.connections, "execute", fail)
        patch.setattr(budget.ledger.connections, "aexecute", fail)
        patch.setattr(budget.ledger.journal, "abandon", lambda *_: None)
        driver(hold, "release")

    assert [said["operation"] for said in failures] == ["release"]
    assert figures(hold) == after("0.2", "0.3")


def test_a_hold_that_could_not_be_counted_shows_nothing(
    driver: Driver, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = make(on_unavailable="allow")
    with monkeypatch.context() as patch:
        patch.setattr(budget.ledger.connections, "execute", fail)
        patch.setattr(budget.ledger.connections, "aexecute", fail)
        hold = driver(budget, "reserve", "ann", amount="0.5")
    commands = count(monkeypatch)

    driver(hold, "release")
    hold.abandon()

    assert (commands, hold.status, budget.ledger.database.waiting) == ([], (), 0)


# Abandoning.


def test_an_abandoned_hold_is_given_back_by_another_thread(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    driver(hold, "charge", cost="0.2")
    threads = []
    release = budget.ledger.release

    def watched(*args: Any) -> Any:
        threads.append(threading.current_thread().name)
        return release(*args)

    monkeypatch.setattr(budget.ledger, "release", watched)

    hold.abandon()
    hold.abandon()
    driver(hold, "release")
    assert budget.flush(10)

    assert threads == ["coreason-budget-writes"]
    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.2", "0")
    assert figures(hold) == after("0.2", "0.3")
    with pytest.raises(HoldClosedError), driver.entered(hold):
        pytest.fail("an abandoned hold was entered")


def test_abandoning_does_no_input_or_output_of_its_own(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    opened = threading.Event()
    budget.ledger.database.post(lambda: opened.wait(10))

    hold.abandon()

    assert held(driver, budget, "ann") == "0.5"
    opened.set()
    assert budget.flush(10)
    assert held(driver, budget, "ann") == "0"


@pytest.mark.parametrize("state", ["released", "final", "not made"])
def test_abandoning_what_has_ended_does_nothing(driver: Driver, budget: BudgetManager, state: str) -> None:
    hold = budget.reservation("ann", amount="0.5") if state == "not made" else driver(budget, "reserve", "ann")
    if state == "released":
        driver(hold, "release")
    elif state == "final":
        driver(hold, "charge", cost="0.1", final=True)
    assert budget.flush(10)

    hold.abandon()

    assert budget.ledger.database.waiting == 0


def test_a_destructor_may_abandon_in_any_thread(driver: Driver, budget: BudgetManager) -> None:
    class Stream:
        def __init__(self, hold: Reservation) -> None:
            self.hold = hold
            self.itself = self  # so that the collector finds it, wherever that runs

        def __del__(self) -> None:
            self.hold.abandon()

    Stream(driver(budget, "reserve", "ann", amount="0.5"))
    collector = threading.Thread(target=gc.collect)
    collector.start()
    collector.join()

    assert budget.flush(10)
    assert held(driver, budget, "ann") == "0"


def test_what_cannot_be_abandoned_now_is_given_back_when_redis_answers(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    with monkeypatch.context() as patch:
        patch.setattr(budget.ledger.connections, "execute", fail)
        hold.abandon()
        assert budget.flush(10)
    assert (records(), held(driver, budget, "ann")) == ([("adjustment", "0")], "0.5")

    assert budget.ledger.run(budget.ledger.journal.tell()) == 1

    assert held(driver, budget, "ann") == "0"


def test_nobody_gets_the_money_of_a_charge_between_its_hold_and_its_being_told_of(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    hold = driver(budget, "reserve", "ann", amount=1)
    with monkeypatch.context() as patch:
        patch.setattr(budget.ledger.connections, "execute", fail)
        patch.setattr(budget.ledger.connections, "aexecute", fail)
        driver(hold, "charge", cost=1)
    assert budget.flush(10)
    assert (records(), held(driver, budget, "ann")) == ([("charge", "1")], "1")

    perform, others, here = Command.perform, [], threading.current_thread()

    def followed_by_another(command: Command, context: Any) -> Any:
        reply = perform(command, context)
        if threading.current_thread() is not here:
            return reply
        with monkeypatch.context() as patch:
            patch.setattr(Command, "perform", perform)
            with suppress(BudgetExceededError):
                others.append(driver(budget, "reserve", "ann", amount=1))
        return reply

    monkeypatch.setattr(Command, "perform", followed_by_another)
    assert budget.ledger.run(budget.ledger.journal.tell()) == 1
    monkeypatch.setattr(Command, "perform", perform)

    assert others == []
    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("1", "0")


def fail(*_: object) -> Any:
    raise RedisConnectionLost from ConnectionRefusedError()


def count(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the commands and queries that operations ask for from now on."""
    seen: list[str] = []
    for kind in (Command, Query):
        for name in ("perform", "aperform"):
            monkeypatch.setattr(kind, name, _noted(seen, getattr(kind, name)))
    return seen


def _noted(seen: list[str], perform: Callable[..., Any]) -> Callable[..., Any]:
    def noted(step: Any, context: Any) -> Any:
        seen.append(str(step.args[0]) if isinstance(step, Command) else "query")
        return perform(step, context)

    return noted
