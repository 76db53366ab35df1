"""Thresholds: told once per account, window and percentage."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget.exceptions import BudgetUnavailableError
from coreason_budget.signals import budget_threshold_reached
from coreason_budget.spends import spend_of

from .tools import sweep

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget import BudgetManager
    from coreason_budget.ledger.scripts import AccountView, Deposit
    from coreason_budget.ledger.steps import Operation
    from tests.conftest import Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def told(heard: Callable[..., list[dict[str, Any]]]) -> Callable[[], list[tuple[str, str, int]]]:
    """Return, and forget, which thresholds were told: scope, period and percentage."""
    said = heard(budget_threshold_reached)

    def since() -> list[tuple[str, str, int]]:
        new = [(item["status"].scope, item["status"].period, item["threshold"]) for item in said]
        said.clear()
        return new

    return since


def test_each_threshold_is_told_when_it_is_reached(driver: Driver, budget: BudgetManager, told: Any) -> None:
    driver(budget, "check", "ann")
    steps = {
        "0.499999999": [],
        "0.000000001": [("user", "day", 50)],
        "0.29": [],
        "0.01": [("user", "day", 80)],
        "0.19": [],
        "0.02": [("user", "day", 100)],
        "5": [],
    }
    for cost, expected in steps.items():
        driver(budget, "charge", "ann", cost)
        assert told() == expected


def test_one_charge_may_cross_several_on_several_accounts(driver: Driver, budget: BudgetManager, told: Any) -> None:
    driver(budget, "check", "ann", "apollo")

    driver(budget, "charge", "ann", "2.5", "apollo")

    assert told() == [
        ("user", "day", 50),
        ("user", "day", 80),
        ("user", "day", 100),
        ("project", "day", 50),
        ("project", "day", 80),
    ]


def test_every_period_has_its_own(driver: Driver, make: Make, told: Any) -> None:
    budget = make(daily_user_limit_usd="1", weekly_user_limit_usd="2", monthly_user_limit_usd="4")
    driver(budget, "check", "ann")

    driver(budget, "charge", "ann", "1")

    assert told() == [("user", "day", 50), ("user", "day", 80), ("user", "day", 100), ("user", "week", 50)]


def test_a_new_window_tells_them_again(driver: Driver, budget: BudgetManager, told: Any, clock: Clock) -> None:
    driver(budget, "check", "ann")
    driver(budget, "charge", "ann", "0.5")
    clock.move(days=1)

    driver(budget, "charge", "ann", "0.5")

    assert told() == [("user", "day", 50)] * 2


def test_a_refund_and_another_charge_tell_nothing_again(
    driver: Driver, budget: BudgetManager, told: Any, clock: Clock
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.3", ttl=60)
    driver(budget, "charge", "ann", "0.4")
    clock.move(seconds=60)
    sweep(budget)
    driver(budget, "charge", "ann", "0.1")
    assert told() == [("user", "day", 50), ("user", "day", 80)]

    driver(hold, "release")
    driver(budget, "charge", "ann", "0.3")

    assert told() == []


def test_a_late_charge_tells_only_what_is_reached(
    driver: Driver, budget: BudgetManager, told: Any, clock: Clock
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.9", ttl=60)
    clock.move(seconds=60)
    sweep(budget)
    told()

    driver(hold, "charge", cost="0.4", final=True)

    assert told() == []


@pytest.mark.parametrize("limit", [None, 0])
def test_an_account_without_an_amount_has_none(driver: Driver, make: Make, told: Any, limit: int | None) -> None:
    budget = make(daily_user_limit_usd=limit)
    driver(budget, "status", "ann")

    driver(budget, "charge", "ann", 100)

    assert told() == []


def test_the_settings_choose_them(driver: Driver, make: Make, told: Any) -> None:
    budget = make(daily_user_limit_usd="1", thresholds=[90, 25])
    driver(budget, "check", "ann")

    driver(budget, "charge", "ann", "0.95")

    assert told() == [("user", "day", 25), ("user", "day", 90)]


def test_no_thresholds_at_all(driver: Driver, make: Make, told: Any) -> None:
    budget = make(daily_user_limit_usd="1", thresholds=[])
    driver(budget, "check", "ann")

    driver(budget, "charge", "ann", "0.95")

    assert told() == []


def test_the_status_is_that_after_the_charge(
    driver: Driver, budget: BudgetManager, heard: Callable[..., list[dict[str, Any]]]
) -> None:
    said = heard(budget_threshold_reached)
    driver(budget, "check", "ann")

    receipt = driver(budget, "charge", "ann", "0.5")

    assert [item["status"] for item in said] == [receipt.status[0]]


def test_the_very_first_charge_of_an_account_tells_them(driver: Driver, budget: BudgetManager, told: Any) -> None:
    driver(budget, "charge", "ann", "0.9")

    assert told() == [("user", "day", 50), ("user", "day", 80)]


def test_what_a_hold_passed_at_its_deadline_is_told_by_the_next_charge(
    driver: Driver, budget: BudgetManager, told: Any, clock: Clock
) -> None:
    driver(budget, "reserve", "ann", amount="0.6", ttl=60)
    clock.move(seconds=60)

    sweep(budget)
    driver(budget, "charge", "ann", "0.01")

    assert told() == [("user", "day", 50)]


def test_what_was_told_before_redis_lost_its_data_is_not_told_again(
    driver: Driver, budget: BudgetManager, told: Any
) -> None:
    driver(budget, "charge", "ann", "0.6")
    assert told() == [("user", "day", 50)]
    budget.flush(5)

    budget.ledger.connections.client().flushall()
    driver(budget, "check", "ann")
    driver(budget, "charge", "ann", "0.1")
    assert told() == []

    driver(budget, "charge", "ann", "0.1")
    assert told() == [("user", "day", 80)]


def test_of_two_charges_that_find_an_account_unknown_one_tells(
    driver: Driver, budget: BudgetManager, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    status = budget.ledger.status

    def status_after_another_charge(deposit: Deposit) -> Operation[tuple[AccountView, ...]]:
        monkeypatch.setattr(budget.ledger, "status", status)
        yield from budget.guard.charge(deposit, spend_of("0.3"))
        return (yield from status(deposit))

    monkeypatch.setattr(budget.ledger, "status", status_after_another_charge)
    driver(budget, "charge", "ann", "0.3")

    assert told() == [("user", "day", 50)]


def test_a_charge_that_comes_again_when_its_id_is_forgotten_tells_nothing_again(
    driver: Driver, budget: BudgetManager, told: Any
) -> None:
    driver(budget, "charge", "ann", "0.6", charge_id="one")
    assert told() == [("user", "day", 50)]
    budget.flush(5)
    budget.ledger.connections.client().flushall()

    driver(budget, "charge", "ann", "0.6", charge_id="one")

    assert told() == []


def test_an_account_that_cannot_be_opened_keeps_no_other_from_telling(
    driver: Driver, budget: BudgetManager, told: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    driver(budget, "check", "ann")

    def unavailable(_: Deposit) -> Operation[tuple[AccountView, ...]]:
        raise BudgetUnavailableError("The database is slow.")
        yield

    monkeypatch.setattr(budget.ledger, "status", unavailable)
    receipt = driver(budget, "charge", "ann", "0.6", "apollo")

    assert told() == [("user", "day", 50)]
    assert [status.scope for status in receipt.status] == ["user", "global"]


def test_a_window_that_ends_while_another_account_is_opened_is_the_one_that_is_told(
    driver: Driver, budget: BudgetManager, clock: Clock, heard: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = heard(budget_threshold_reached)
    driver(budget, "check", "ann")
    status = budget.ledger.status

    def status_tomorrow(deposit: Deposit) -> Operation[tuple[AccountView, ...]]:
        clock.move(days=1)
        return status(deposit)

    monkeypatch.setattr(budget.ledger, "status", status_tomorrow)
    driver(budget, "charge", "ann", "0.6", "apollo")

    assert [(item["threshold"], item["status"].resets_at.isoformat()) for item in said] == [
        (50, "2030-03-14T00:00:00+00:00")
    ]
