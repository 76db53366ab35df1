"""The module functions: those of one manager, built at need from the settings."""

from __future__ import annotations

import asyncio
import inspect
from typing import TYPE_CHECKING, Any

import pytest
from django.test import override_settings

from coreason_budget import BudgetConfigurationError, BudgetExceededError, BudgetManager, service
from coreason_budget.models import SpendRecord

if TYPE_CHECKING:
    from tests.conftest import Backend

pytestmark = pytest.mark.django_db(transaction=True)

FUNCTIONS = [
    "acharge", "acheck", "arefund", "areserve", "astatus", "charge", "check", "check_availability",
    "check_availability_sync", "flush", "record_spend", "record_spend_sync", "refund", "reservation", "reserve",
    "status",
]  # fmt: skip


@pytest.mark.parametrize("name", FUNCTIONS)
def test_each_function_is_the_managers(name: str) -> None:
    function = getattr(service, name)

    assert function.__name__ == name
    assert function.__doc__ == getattr(BudgetManager, name).__doc__
    assert inspect.unwrap(function) is inspect.unwrap(getattr(BudgetManager, name))
    assert name in service.__all__


def test_the_functions_work_on_the_settings_budget(backend: Backend) -> None:
    with override_settings(COREASON_BUDGET={"DAILY_USER_LIMIT_USD": "1", "LOG_PATH": ""}):
        assert service.check("ann", amount=1) is True
        with service.reservation("ann", "apollo", amount="0.5") as hold:
            hold.charge(cost="0.2")
        held = service.reserve("ann", amount="0.3")
        service.charge("ann", "0.1", "apollo", "gpt-4o", "c-1")
        assert service.record_spend_sync("ann", "0.1", "apollo", "gpt-4o", "c-1").first is False
        assert service.check_availability_sync("ann", None, "0.4") is True
        held.release()
        with service.deferred_writes():
            service.charge("ann", "0.1")
        assert service.flush(10) is True

        (user, _) = service.status("ann")
        assert (f"{user.spent:f}", user.held) == ("0.4", 0)
        assert SpendRecord.objects.count() == 3


def test_the_async_functions_do_the_same(backend: Backend) -> None:
    async def main() -> Any:
        await service.acheck("ann")
        hold = await service.areserve("ann", amount="0.5")
        await hold.acharge(cost="0.2", final=True)
        await service.acharge("ann", "0.1")
        await service.record_spend("ann", "0.1")
        assert await service.check_availability("ann") is True
        return await service.astatus("ann")

    (user, _) = asyncio.run(main())

    assert (f"{user.spent:f}", user.held) == ("0.4", 0)


def test_there_is_one_manager_until_the_settings_change(backend: Backend) -> None:
    first = service.manager()
    assert service.manager() is first
    assert service.pricing() is first.pricing

    with override_settings(COREASON_BUDGET={"DAILY_USER_LIMIT_USD": "0.1", "LOG_PATH": ""}):
        assert service.manager() is not first
        with pytest.raises(BudgetExceededError):
            service.check("ann", amount=1)

    assert service.check("ann", amount=1) is True


@pytest.mark.parametrize("setting", ["CACHES", "DATABASE_ROUTERS"])
def test_settings_that_the_ledger_stands_on_rebuild_it_too(backend: Backend, settings: Any, setting: str) -> None:
    first = service.manager()

    with override_settings(**{setting: getattr(settings, setting)}):
        assert service.manager() is not first


def test_other_settings_leave_it_alone(backend: Backend) -> None:
    first = service.manager()

    with override_settings(LANGUAGE_CODE="de"):
        assert service.manager() is first


def test_a_manager_that_is_forgotten_has_written_its_records(backend: Backend) -> None:
    with service.deferred_writes():
        for _ in range(20):
            service.charge("ann", "0.1")

    service.reset()

    assert SpendRecord.objects.count() == 20


def test_wrong_settings_are_an_error_at_the_first_use(backend: Backend) -> None:
    with (
        override_settings(COREASON_BUDGET={"DAILY_USER_LIMT_USD": 1}),
        pytest.raises(BudgetConfigurationError, match="Did you mean 'DAILY_USER_LIMIT_USD'"),
    ):
        service.check("ann")


def test_a_manager_takes_a_config_and_nothing_else() -> None:
    with pytest.raises(TypeError, match="config must be a BudgetConfig, not dict"):
        BudgetManager({"daily_user_limit_usd": 1})  # type: ignore[arg-type]


def test_a_manager_shows_its_settings(backend: Backend) -> None:
    assert "daily" not in repr(service.manager())
    with override_settings(COREASON_BUDGET={"DAILY_USER_LIMIT_USD": "0.1", "LOG_PATH": ""}):
        assert repr(service.manager()).startswith("BudgetManager(BudgetConfig(daily_user_limit_usd=Decimal('0.1')")
