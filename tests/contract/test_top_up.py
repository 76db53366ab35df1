"""Holding more on a hold that is open, and holding what has room where all of it has none."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from coreason_budget import BudgetExceededError, HoldClosedError

from .tools import dump, held, lose_accounts, spent, sweep

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_top_up_is_held_on_every_account_and_given_back_with_the_hold(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", "apollo", amount="0.2")

    assert driver(hold, "top_up", "0.3") == Decimal("0.3")

    assert hold.amount == Decimal("0.5")
    assert [item.held for item in driver(budget, "status", "ann", "apollo")] == [Decimal("0.5")] * 3
    driver(hold, "release")
    assert [item.held for item in driver(budget, "status", "ann", "apollo")] == [0, 0, 0]


def test_a_top_up_that_fits_exactly_is_made_and_one_nano_more_is_refused_and_changes_nothing(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.4")
    with pytest.raises(BudgetExceededError):
        driver(hold, "top_up", "0.600000001")
    before = dump(backend)

    with pytest.raises(BudgetExceededError) as refused:
        driver(hold, "top_up", "0.600000001")

    assert (refused.value.held, refused.value.requested) == (Decimal("0.4"), Decimal("0.600000001"))
    assert dump(backend) == before
    assert hold.amount == Decimal("0.4")
    assert driver(hold, "top_up", "0.6") == Decimal("0.6")
    assert held(driver, budget, "ann") == "1"


def test_a_charge_draws_on_what_was_topped_up(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.2")
    driver(hold, "top_up", "0.3")

    driver(hold, "charge", cost="0.45")

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.45", "0.05")
    assert hold.left == Decimal("0.05")


def test_where_not_all_has_room_what_has_is_held_if_it_is_enough(driver: Driver, budget: BudgetManager) -> None:
    driver(budget, "reserve", "ann", amount="0.25")

    hold = driver(budget, "reserve", "ann", "apollo", amount="2", least="0.75")

    assert hold.amount == Decimal("0.75")
    assert held(driver, budget, "ann") == "1"
    driver(hold, "release")
    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "reserve", "ann", amount="2", least="0.750000001")
    assert refused.value.requested == 2
    assert held(driver, budget, "ann") == "0.25"


def test_what_has_room_is_that_of_the_tightest_account(driver: Driver, make: Make) -> None:
    budget = make(daily_user_limit_usd="5", daily_project_limit_usd="3", monthly_global_limit_usd="0.7")

    hold = driver(budget, "reserve", "ann", "apollo", amount="4", least=0)

    assert hold.amount == Decimal("0.7")


def test_a_hold_of_which_all_has_room_is_made_in_full(driver: Driver, budget: BudgetManager) -> None:
    assert driver(budget, "reserve", "ann", amount="0.6", least="0.1").amount == Decimal("0.6")


def test_nothing_is_held_where_nothing_is_left_however_little_would_do(driver: Driver, budget: BudgetManager) -> None:
    driver(budget, "charge", "ann", "1")

    with pytest.raises(BudgetExceededError):
        driver(budget, "reserve", "ann", amount="0.5", least=0)

    assert held(driver, budget, "ann") == "0"


def test_a_top_up_takes_what_has_room_too(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.9")

    assert driver(hold, "top_up", "0.5", least="0.1") == Decimal("0.1")
    assert hold.amount == 1
    with pytest.raises(BudgetExceededError):
        driver(hold, "top_up", "0.5", least="0.000000001")


def test_a_repeated_top_up_is_held_once(budget: BudgetManager) -> None:
    ledger, guard = budget.ledger, budget.guard
    hold = ledger.run(guard.reserve(guard.accounts("ann", None), 900_000_000, 60))

    def top_up(nonce: str) -> int:
        verdict = ledger.run(ledger.top_up(hold.id, hold.deposit, 500_000_000, 60_000, nonce=nonce, least=1))
        return verdict.amount  # type: ignore[union-attr]

    assert [top_up("a"), top_up("a")] == [100_000_000, 100_000_000]
    assert budget.status("ann")[0].held == 1


def test_a_top_up_moves_the_deadline(driver: Driver, make: Make, clock: Clock) -> None:
    budget = make(hold_ttl=60, daily_user_limit_usd="1")
    hold = driver(budget, "reserve", "ann", amount="0.2")
    clock.move(seconds=50)

    driver(hold, "top_up", "0.1")

    clock.move(seconds=59)
    assert sweep(budget) == []
    clock.move(seconds=2)
    assert sweep(budget) == ["0.3"]


def test_a_hold_that_ended_cannot_be_topped_up(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.2")
    driver(hold, "release")

    with pytest.raises(HoldClosedError, match="cannot be topped up"):
        driver(hold, "top_up", "0.1")
    assert held(driver, budget, "ann") == "0"


def test_a_hold_that_redis_has_lost_cannot_be_topped_up(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.2")
    with backend.client() as client:
        client.flushall()

    with pytest.raises(HoldClosedError):
        driver(hold, "top_up", "0.1")
    assert held(driver, budget, "ann") == "0"


def test_an_account_that_has_forgotten_a_hold_counts_all_of_it_at_its_next_top_up(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.6")
    lose_accounts(backend)
    assert held(driver, budget, "ann") == "0"

    with pytest.raises(BudgetExceededError):
        driver(hold, "top_up", "0.400000001")
    driver(hold, "top_up", "0.4")

    assert held(driver, budget, "ann") == "1"
    driver(hold, "release")
    assert held(driver, budget, "ann") == "0"


@pytest.mark.parametrize(("amount", "error"), [(0, ValueError), ("-1", ValueError), (None, TypeError)])
def test_a_top_up_of_no_amount_is_refused_by_name(
    driver: Driver, budget: BudgetManager, amount: object, error: type[Exception]
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.2")

    with pytest.raises(error, match="amount"):
        driver(hold, "top_up", amount)
