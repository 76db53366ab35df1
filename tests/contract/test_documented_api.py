"""The lifecycle that the documentation shows, word by word."""

from __future__ import annotations

import asyncio
from decimal import Decimal
from typing import TYPE_CHECKING

import pytest

from coreason_budget import BudgetConfig, BudgetExceededError, BudgetManager, UnknownModelError
from coreason_budget.models import SpendRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Backend

pytestmark = pytest.mark.django_db(transaction=True)

PRICES = {"gpt-4": {"input_usd_per_million": "30", "output_usd_per_million": "60"}}


@pytest.fixture
def budget(backend: Backend) -> Iterator[BudgetManager]:
    config = BudgetConfig(
        daily_user_limit_usd=10.0,
        daily_project_limit_usd=500.0,
        daily_global_limit_usd=5000.0,
        model_price_overrides=PRICES,
    )
    manager = BudgetManager(config)
    yield manager
    manager.close_sync()


def test_a_call_is_checked_priced_and_booked(budget: BudgetManager) -> None:
    async def lifecycle() -> None:
        assert await budget.check_availability("user_123", project_id="project_abc", estimated_cost=0.05) is True
        cost = budget.pricing.calculate(model="gpt-4", input_tokens=1000, output_tokens=500)
        assert cost == Decimal("0.06")
        receipt = await budget.record_spend(
            user_id="user_123", cost=cost, project_id="project_abc", model="gpt-4", charge_id="call-1"
        )
        assert (receipt.charge_id, receipt.cost, receipt.first, receipt.counted) == ("call-1", cost, True, True)
        await budget.close()

    asyncio.run(lifecycle())

    record = SpendRecord.objects.get()
    assert (record.user_id, record.project_id, record.model, record.charge_id, record.cost_usd, record.kind) == (
        "user_123",
        "project_abc",
        "gpt-4",
        "call-1",
        Decimal("0.06"),
        "charge",
    )


def test_the_sync_twins_do_the_same(budget: BudgetManager) -> None:
    assert budget.check_availability_sync("user_123", "project_abc", 10) is True

    receipt = budget.record_spend_sync("user_123", 0.1, "project_abc", "gpt-4")

    assert [(item.scope, item.subject, item.spent, item.remaining) for item in receipt.status] == [
        ("user", "user_123", Decimal("0.1"), Decimal("9.9")),
        ("project", "project_abc", Decimal("0.1"), Decimal("499.9")),
        ("global", "", Decimal("0.1"), Decimal("4999.9")),
    ]
    assert SpendRecord.objects.get().cost_usd == Decimal("0.1")
    budget.close_sync()


@pytest.mark.parametrize("estimated_cost", [10.000000001, "10.01", 11])
def test_a_call_that_does_not_fit_is_refused(budget: BudgetManager, estimated_cost: float | str) -> None:
    with pytest.raises(BudgetExceededError) as sync_error:
        budget.check_availability_sync("user_123", estimated_cost=estimated_cost)
    with pytest.raises(BudgetExceededError) as async_error:
        asyncio.run(budget.check_availability("user_123", estimated_cost=estimated_cost))

    for error in (sync_error.value, async_error.value):
        assert (error.scope, error.subject, error.period, error.limit) == ("user", "user_123", "day", 10)


def test_a_spent_budget_refuses_the_next_check_without_an_estimate(budget: BudgetManager) -> None:
    budget.record_spend_sync("user_123", 10)

    with pytest.raises(BudgetExceededError, match="limit 10 USD, spent 10, held 0, asked for 0"):
        budget.check_availability_sync("user_123")


def test_an_unknown_model_has_no_cost(budget: BudgetManager) -> None:
    with pytest.raises(UnknownModelError, match="no-such-model"):
        budget.pricing.calculate(model="no-such-model", input_tokens=1, output_tokens=1)


def test_a_closed_manager_can_be_used_again(budget: BudgetManager) -> None:
    budget.record_spend_sync("user_123", 1)
    budget.close_sync()

    receipt = budget.record_spend_sync("user_123", 1)

    assert receipt.status[0].spent == 2
    assert SpendRecord.objects.count() == 2
