"""A charge id counts once, whatever is retried; and concurrent callers never spend more than there is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coreason_budget import BudgetExceededError, ChargeConflictError
from coreason_budget.models import SpendRecord
from coreason_budget.signals import budget_exceeded, budget_threshold_reached, spend_recorded

from .tools import booked, dump, held, records, spent, sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Clock

pytestmark = pytest.mark.django_db(transaction=True)


def test_the_same_charge_id_gets_the_first_answer(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    driver(budget, "check", "ann", "apollo")
    first = driver(budget, "charge", "ann", "0.1", "apollo", charge_id="task-1")
    driver(budget, "charge", "ann", "0.2", "apollo")
    before = dump(backend)

    again = driver(budget, "charge", "ann", "0.1", "apollo", charge_id="task-1")

    assert (first.first, again.first) == (True, False)
    assert (again.charge_id, again.cost, again.status) == ("task-1", first.cost, first.status)
    assert dump(backend) == before
    assert (spent(driver, budget, "ann"), SpendRecord.objects.count()) == ("0.3", 2)


def test_equal_amounts_written_differently_are_the_same_charge(driver: Driver, budget: BudgetManager) -> None:
    driver(budget, "charge", "ann", "0.10", charge_id="task-1")

    assert driver(budget, "charge", "ann", 0.1, charge_id="task-1").first is False


@pytest.mark.parametrize(
    ("user", "cost", "project"),
    [("ann", "0.2", "apollo"), ("bob", "0.1", "apollo"), ("ann", "0.1", "gemini"), ("ann", "0.1", None)],
)
def test_another_cost_or_another_account_is_a_conflict_and_changes_nothing(
    driver: Driver, budget: BudgetManager, backend: Backend, user: str, cost: str, project: str | None
) -> None:
    driver(budget, "charge", "ann", "0.1", "apollo", charge_id="task-1")
    driver(budget, "status", user, project)
    before, rows = dump(backend), list(SpendRecord.objects.values())

    with pytest.raises(ChargeConflictError, match="'task-1' was used before"):
        driver(budget, "charge", user, cost, project, charge_id="task-1")

    assert dump(backend) == before
    assert list(SpendRecord.objects.values()) == rows


def test_a_conflict_on_a_hold_leaves_the_hold_as_it_is(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    driver(hold, "charge", cost="0.1", charge_id="task-1")

    with pytest.raises(ChargeConflictError):
        driver(hold, "charge", cost="0.2", charge_id="task-1", final=True)

    assert held(driver, budget, "ann") == "0.4"
    driver(hold, "release")
    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.1", "0")


def test_a_repeated_charge_sends_its_signals_once(
    driver: Driver, budget: BudgetManager, heard: Callable[..., list]
) -> None:
    recorded, reached = heard(spend_recorded), heard(budget_threshold_reached)

    for _ in range(3):
        driver(budget, "check", "ann")
        driver(budget, "charge", "ann", "0.5", charge_id="task-1")

    assert [item["receipt"].charge_id for item in recorded] == ["task-1"]
    assert [item["threshold"] for item in reached] == [50]


def test_a_redelivered_task_gives_its_second_hold_back(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    """The task was killed after its charge and runs again: a new hold, the same charge id."""
    first = driver(budget, "reserve", "ann", amount="0.4")
    driver(first, "charge", cost="0.3", charge_id="task-1", final=True)

    second = driver(budget, "reserve", "ann", amount="0.4")
    receipt = driver(second, "charge", cost="0.3", charge_id="task-1", final=True)

    assert receipt.first is False
    assert held(driver, budget, "ann") == "0"
    clock.move(days=1)
    assert sweep(budget) == []
    assert booked() == "0.3"


def test_a_final_charge_that_repeats_one_on_the_same_hold_ends_it(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.4")
    driver(hold, "charge", cost="0.1", charge_id="task-1")

    driver(hold, "charge", cost="0.1", charge_id="task-1", final=True)

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.1", "0")


def test_a_charge_id_that_redis_has_forgotten_is_still_counted_once(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    driver(budget, "charge", "ann", "0.1", charge_id="task-1")
    with backend.client() as client:
        assert client.delete("{coreason-budget}:c:task-1") == 1

    driver(budget, "charge", "ann", "0.1", charge_id="task-1")
    assert budget.flush(10)

    assert (spent(driver, budget, "ann"), booked()) == ("0.1", "0.1")
    assert spent(driver, budget, "ann", scope="global") == "0.1"


def test_charge_ids_are_remembered_for_as_long_as_the_settings_say(
    driver: Driver, make: Callable[..., BudgetManager], backend: Backend
) -> None:
    driver(make(charge_id_ttl=120), "charge", "ann", "0.1", charge_id="task-1")

    with backend.client() as client:
        assert 110_000 < client.pttl("{coreason-budget}:c:task-1") <= 120_000


# At once


def test_64_callers_of_a_dollar_get_ten_dimes(driver: Driver, budget: BudgetManager) -> None:
    answers = driver.together(64, budget, "reserve", "ann", "apollo", amount="0.10")

    refused = [answer for answer in answers if isinstance(answer, BudgetExceededError)]
    assert (len(answers) - len(refused), len(refused)) == (10, 54)
    assert [f"{item.held:f}" for item in driver(budget, "status", "ann", "apollo")] == ["1", "1", "1"]


def test_the_first_refusal_of_a_window_is_told_once_among_64(
    driver: Driver, budget: BudgetManager, heard: Callable[..., list], clock: Clock
) -> None:
    exceeded = heard(budget_exceeded)

    answers = driver.together(64, budget, "check", "ann", amount=2)

    assert [answer.first for answer in answers].count(True) == 1
    assert [item["first"] for item in exceeded].count(True) == 1
    assert len(exceeded) == 64
    clock.move(days=1)
    answers = driver.together(8, budget, "check", "ann", amount=2)
    assert [answer.first for answer in answers].count(True) == 1


def test_64_charges_cross_each_threshold_once(
    driver: Driver, budget: BudgetManager, heard: Callable[..., list]
) -> None:
    reached = heard(budget_threshold_reached)
    driver(budget, "check", "ann")

    driver.together(64, budget, "charge", "ann", "0.02")

    assert sorted(item["threshold"] for item in reached) == [50, 80, 100]
    assert (spent(driver, budget, "ann"), booked()) == ("1.28", "1.28")
    assert len(records()) == 64


def test_the_same_charge_64_times_at_once_is_one(
    driver: Driver, budget: BudgetManager, heard: Callable[..., list]
) -> None:
    recorded = heard(spend_recorded)

    receipts = driver.together(64, budget, "charge", "ann", "0.02", charge_id="task-1")

    assert [receipt.first for receipt in receipts].count(True) == 1
    assert len(recorded) == 1
    assert (spent(driver, budget, "ann"), booked()) == ("0.02", "0.02")


def test_holds_and_costs_at_once_never_pass_the_limit(driver: Driver, budget: BudgetManager) -> None:
    driver.together(32, budget, "reserve", "ann", amount="0.03")
    hold = driver(budget, "reserve", "ann", amount="0.04")

    driver.together(16, hold, "charge", cost="0.0025")

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.04", "0.96")
    with pytest.raises(BudgetExceededError):
        driver(budget, "check", "ann", amount="0.000000001")
