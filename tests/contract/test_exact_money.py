"""Money is exact: above 2^53 nano-dollars, at a nano, and up to where the counters end."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from coreason_budget.models import SpendRecord

from .tools import booked, dump, held, lose_accounts, spent

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Make

pytestmark = pytest.mark.django_db(transaction=True)

UNLIMITED = {"daily_user_limit_usd": 1_000_000_000, "daily_global_limit_usd": None}
BEYOND = "9007199.254740993"  # 2^53 + 1 nano-dollars: no double has this value


def test_a_nano_above_2_to_the_53_is_counted(driver: Driver, make: Make, backend: Backend) -> None:
    budget = make(**UNLIMITED)
    driver(budget, "check", "ann")

    first = driver(budget, "charge", "ann", BEYOND)
    second = driver(budget, "charge", "ann", "0.000000001")
    third = driver(budget, "charge", "ann", "0.000000001")

    receipts = [f"{receipt.status[0].spent:f}" for receipt in (first, second, third)]
    assert receipts == [BEYOND, "9007199.254740994", "9007199.254740995"]
    assert (first.cost, third.status[0].remaining) == (Decimal(BEYOND), 10**9 - Decimal("9007199.254740995"))
    assert (spent(driver, budget, "ann"), booked()) == ("9007199.254740995", "9007199.254740995")
    assert budget.flush(10)
    lose_accounts(backend)
    assert spent(driver, budget, "ann") == "9007199.254740995"


def test_holds_above_2_to_the_53_come_and_go_exactly(driver: Driver, make: Make) -> None:
    budget = make(**UNLIMITED)
    hold = driver(budget, "reserve", "ann", amount=BEYOND)
    driver(budget, "reserve", "ann", amount="0.000000001")
    assert held(driver, budget, "ann") == "9007199.254740994"

    receipt = driver(hold, "charge", cost="0.000000002")
    assert f"{receipt.status[0].held:f}" == "9007199.254740992"
    driver(hold, "release")

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.000000002", "0.000000001")


def test_ten_tenths_of_a_cent_are_a_cent(driver: Driver, budget: BudgetManager) -> None:
    for _ in range(10):
        driver(budget, "charge", "ann", 0.001)

    assert spent(driver, budget, "ann") == "0.01"


def test_digits_past_the_ninth_are_rounded_and_never_to_nothing(driver: Driver, budget: BudgetManager) -> None:
    driver(budget, "charge", "ann", "0.0000000004")
    driver(budget, "charge", "ann", "0.0000000025")

    assert spent(driver, budget, "ann") == "0.000000003"


def test_what_the_counters_cannot_hold_is_refused_and_changes_nothing(
    driver: Driver, make: Make, backend: Backend
) -> None:
    budget = make(**UNLIMITED)
    for _ in range(9):
        driver(budget, "charge", "ann", 1_000_000_000)
    assert budget.flush(10)
    assert spent(driver, budget, "ann") == "9000000000"
    before = dump(backend)

    with pytest.raises(ValueError, match=r"user ann cannot count more than 9\.2 billion USD"):
        driver(budget, "charge", "ann", 1_000_000_000)

    assert dump(backend) == before
    assert SpendRecord.objects.count() == 9


def test_holds_that_the_counters_cannot_hold_are_refused_and_change_nothing(
    driver: Driver, make: Make, backend: Backend
) -> None:
    budget = make(daily_user_limit_usd=None, daily_project_limit_usd=None, daily_global_limit_usd=None)
    for number in range(9):
        driver(budget, "reserve", f"user {number}", amount=1_000_000_000)
    driver(budget, "check", "ann")
    before = dump(backend)

    with pytest.raises(ValueError, match=r"global cannot count more than 9\.2 billion USD"):
        driver(budget, "reserve", "ann", amount=1_000_000_000)

    assert dump(backend) == before
