"""Booking what a call cost: on a hold, beyond it, without one, after its end."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from coreason_budget.models import SpendRecord

from .tools import account, booked, dump, held, records, spent

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_charge_counts_on_every_account_and_becomes_one_record(driver: Driver, budget: BudgetManager) -> None:
    receipt = driver(budget, "charge", "ann", "0.123456789", "apollo", "gpt-4o", "call-1")

    assert (receipt.charge_id, receipt.cost, receipt.first, receipt.counted) == (
        "call-1",
        Decimal("0.123456789"),
        True,
        True,
    )
    assert [(item.scope, item.spent, item.remaining) for item in receipt.status] == [
        ("user", Decimal("0.123456789"), Decimal("0.876543211")),
        ("project", Decimal("0.123456789"), Decimal("2.876543211")),
        ("global", Decimal("0.123456789"), Decimal("99.876543211")),
    ]
    record = SpendRecord.objects.get()
    assert (record.charge_id, record.user_id, record.project_id, record.model, record.cost_nanos, record.kind) == (
        "call-1",
        "ann",
        "apollo",
        "gpt-4o",
        123456789,
        "charge",
    )
    assert record.at.isoformat() == "2030-03-13T12:00:00+00:00"


def test_the_receipt_is_the_status_after_the_charge(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", "apollo", amount="0.5")

    receipt = driver(hold, "charge", cost="0.2")

    assert list(receipt.status) == driver(budget, "status", "ann", "apollo")
    assert (receipt.status[0].spent, receipt.status[0].held) == (Decimal("0.2"), Decimal("0.3"))


def test_the_journal_is_empty_once_the_record_is_written(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    driver(budget, "charge", "ann", "0.1")

    assert budget.flush(10)
    with backend.client() as client:
        assert client.xlen("{coreason-budget}:journal") == 0
    assert SpendRecord.objects.count() == 1


def test_several_charges_draw_on_one_hold(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")

    for cost, left in (("0.2", "0.3"), ("0.2", "0.1"), ("0.1", "0")):
        receipt = driver(hold, "charge", cost=cost)
        assert f"{receipt.status[0].held:f}" == left

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.5", "0")
    driver(hold, "release")
    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.5", "0")
    assert records() == [("charge", "0.2"), ("charge", "0.2"), ("charge", "0.1")]


def test_a_final_charge_ends_the_hold(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")

    receipt = driver(hold, "charge", cost="0.2", final=True)

    assert (receipt.status[0].spent, receipt.status[0].held) == (Decimal("0.2"), 0)
    with backend.client() as client:
        assert client.zcard("{coreason-budget}:deadlines") == 0
        assert client.hget(f"{{coreason-budget}}:r:{hold.id}", "st") == "closed"
    driver(hold, "release")
    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.2", "0")


@pytest.mark.parametrize("final", [False, True])
def test_a_cost_beyond_the_hold_overshoots_by_exactly_the_difference(
    driver: Driver, budget: BudgetManager, *, final: bool
) -> None:
    driver(budget, "charge", "ann", "0.5")
    hold = driver(budget, "reserve", "ann", amount="0.5")

    receipt = driver(hold, "charge", cost="0.7", final=final)

    user = receipt.status[0]
    assert (user.spent, user.held, user.remaining) == (Decimal("1.2"), 0, 0)
    driver(hold, "charge", cost="0.1")
    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("1.3", "0")


def test_a_charge_is_never_refused(driver: Driver, budget: BudgetManager) -> None:
    receipt = driver(budget, "charge", "ann", 7)

    assert (receipt.status[0].spent, receipt.status[0].remaining) == (7, 0)
    assert booked() == "7"


def test_a_charge_after_the_release_is_booked_without_the_hold(driver: Driver, budget: BudgetManager) -> None:
    other = driver(budget, "reserve", "ann", amount="0.4")
    hold = driver(budget, "reserve", "ann", amount="0.5")
    driver(hold, "release")

    driver(hold, "charge", cost="0.3")

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.3", "0.4")
    driver(other, "release")
    assert held(driver, budget, "ann") == "0"
    assert records() == [("charge", "0.3")]


def test_a_cost_of_0_is_recorded_and_uses_nothing(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")

    receipt = driver(hold, "charge", cost=0)

    assert (receipt.cost, receipt.first, receipt.status[0].held) == (0, True, Decimal("0.5"))
    assert records() == [("charge", "0")]
    driver(hold, "charge", cost=0, final=True)
    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0", "0")


def test_a_charge_on_a_hold_of_nothing_is_all_overshoot(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount=0)

    driver(hold, "charge", cost="0.2", final=True)

    assert (spent(driver, budget, "ann"), held(driver, budget, "ann")) == ("0.2", "0")


def test_the_record_names_its_hold(driver: Driver, budget: BudgetManager) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    driver(hold, "charge", cost="0.2", model="gpt-4o")
    driver(budget, "charge", "ann", "0.1")

    assert list(SpendRecord.objects.order_by("pk").values_list("hold_id", "model")) == [(hold.id, "gpt-4o"), ("", "")]


def test_a_charge_without_a_limit_anywhere_is_recorded(driver: Driver, make, backend: Backend) -> None:
    budget = make(daily_user_limit_usd=None, daily_global_limit_usd=None)

    receipt = driver(budget, "charge", "ann", "0.2")

    assert receipt.status == ()
    assert booked() == "0.2"
    assert all(key.startswith("{coreason-budget}:") for key in dump(backend))


def test_a_response_is_priced_and_its_tokens_are_recorded(driver: Driver, make) -> None:
    prices = {"gpt-4o": {"input_usd_per_million": "2", "output_usd_per_million": "10"}}
    budget = make(model_price_overrides=prices)
    response = {
        "object": "chat.completion",
        "model": "gpt-4o",
        "choices": [],
        "usage": {"prompt_tokens": 1000, "completion_tokens": 500, "total_tokens": 1500},
    }

    with driver.entered(budget.reservation("ann", amount="0.05")) as hold:
        receipt = driver(hold, "charge", response)

    assert receipt.cost == Decimal("0.007")
    record = SpendRecord.objects.get()
    assert (record.model, record.input_tokens, record.output_tokens, record.cost_nanos) == (
        "gpt-4o",
        1000,
        500,
        7000000,
    )
    assert account(driver, budget, "ann").held == 0
