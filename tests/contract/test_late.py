"""Charges and releases of holds that were booked at their deadline: the money is paid once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from .tools import booked, held, records, spent, sweep

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Driver

    from .tools import Clock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.mark.parametrize(
    ("cost", "final", "total", "booked_as"),
    [
        ("0.2", True, "0.2", [("expired", "0.5"), ("refund", "-0.5"), ("charge", "0.2")]),
        ("0.7", True, "0.7", [("expired", "0.5"), ("refund", "-0.5"), ("charge", "0.7")]),
        ("0.2", False, "0.5", [("expired", "0.5"), ("refund", "-0.2"), ("charge", "0.2")]),
        ("0.7", False, "0.7", [("expired", "0.5"), ("refund", "-0.5"), ("charge", "0.7")]),
        ("0", True, "0", [("expired", "0.5"), ("refund", "-0.5"), ("charge", "0")]),
        ("0", False, "0.5", [("expired", "0.5"), ("charge", "0")]),
    ],
)
def test_a_late_charge_pays_once(
    driver: Driver,
    budget: BudgetManager,
    clock: Clock,
    cost: str,
    *,
    final: bool,
    total: str,
    booked_as: list[tuple[str, str]],
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    clock.move(seconds=60)
    sweep(budget)

    receipt = driver(hold, "charge", cost=cost, final=final, charge_id="late")

    assert f"{receipt.status[0].spent:f}" == total
    assert (spent(driver, budget, "ann"), held(driver, budget, "ann"), booked()) == (total, "0", total)
    assert records() == booked_as


def test_late_charges_never_take_back_more_than_was_booked(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    clock.move(seconds=60)
    sweep(budget)

    for cost in ("0.3", "0.3", "0.3"):
        driver(hold, "charge", cost=cost)
    driver(hold, "release")

    assert (spent(driver, budget, "ann"), booked()) == ("0.9", "0.9")
    assert records(kind="refund") == [("refund", "-0.3"), ("refund", "-0.2")]


def test_a_repeated_late_charge_refunds_once(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    clock.move(seconds=60)
    sweep(budget)

    assert driver(hold, "charge", cost="0.2", charge_id="late").first is True
    assert driver(hold, "charge", cost="0.2", charge_id="late").first is False

    assert (spent(driver, budget, "ann"), booked()) == ("0.5", "0.5")


def test_a_late_release_refunds_once(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    hold = driver(budget, "reserve", "ann", "apollo", amount="0.5", ttl=60)
    clock.move(seconds=60)
    sweep(budget)
    made = hold._made()

    driver(hold, "release")

    assert records() == [("expired", "0.5"), ("refund", "-0.5")]
    assert [item.spent for item in driver(budget, "status", "ann", "apollo")] == [0, 0, 0]
    assert budget.ledger.run(budget.ledger.release(made.id, made.deposit)).now is False
    assert (spent(driver, budget, "ann"), booked()) == ("0", "0")


def test_a_refund_of_yesterday_belongs_to_the_day_it_is_booked(
    driver: Driver, budget: BudgetManager, clock: Clock
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5", ttl=60)
    clock.move(seconds=60)
    sweep(budget)
    clock.set("2030-03-14T01:00:00+00:00")

    driver(hold, "charge", cost="0.4", final=True)

    assert (spent(driver, budget, "ann"), booked()) == ("-0.1", "0.4")
