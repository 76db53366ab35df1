"""Tests as a project that uses this app writes them. Run by ``test_testing.py``, by Django's runner and by pytest."""

from __future__ import annotations

import asyncio
import threading
from decimal import Decimal
from typing import ClassVar

import pytest
from django.contrib.auth import get_user_model
from django.db import connection, transaction
from django.test import SimpleTestCase, TestCase, TransactionTestCase, override_settings

from coreason_budget import ANONYMOUS, BudgetExceededError, BudgetManager, service
from coreason_budget.models import GlobalLimit, ProjectLimit, SpendRecord, UserLimit
from coreason_budget.testing import IsolatedBudgetsMixin, isolated_budgets, override_limits

DOWN = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}}
shared = BudgetManager()  # as a module of the project makes it


def spent(user_id: object, period: str = "day") -> Decimal:
    statuses = service.status(user_id)
    return next(item.spent for item in statuses if item.scope == "user" and item.period == period)


class Seen:
    """What holds in every kind of TestCase."""

    def test_starts_with_nothing_spent(self):
        assert spent("ann") == 0
        assert not SpendRecord.objects.exists()
        service.charge("ann", "0.25")

    def test_starts_with_nothing_spent_again(self):
        self.test_starts_with_nothing_spent()

    def test_sees_its_records_at_once(self):
        service.charge("ann", "0.25", "apollo", charge_id="first")
        with service.reservation("ann", amount="1") as hold:
            hold.charge(cost="0.50")
        assert spent("ann") == Decimal("0.75")
        assert SpendRecord.objects.total_usd() == Decimal("0.75")
        assert not service.charge("ann", "0.25", "apollo", charge_id="first").first

    def test_refuses_what_is_over_the_limit(self):
        with override_limits(daily_user="1.00", weekly_user=2, daily_global=None):
            service.charge("ann", "1.00")
            with pytest.raises(BudgetExceededError) as refused:
                service.check("ann", amount="0.01")
            assert (refused.value.limit, refused.value.spent) == (1, 1)
            assert spent("ann", "week") == 1
        service.check("ann", amount="0.01")

    @override_limits(anonymous_daily=0)
    def test_limits_by_decorator(self):
        with pytest.raises(BudgetExceededError, match="is 0 USD"):
            service.check(ANONYMOUS)

    def test_obeys_limits_that_it_saves(self):
        ann = get_user_model().objects.create(username="ann")
        service.check(ann.pk, "apollo", "9")
        for limit in (
            UserLimit(user=ann, amount_usd="0.50"),
            ProjectLimit(project_id="apollo", period="month", amount_usd="0.50"),
            GlobalLimit(period="week", amount_usd="0.50"),
        ):
            for amount in ("0.50", "0.75"):
                limit.amount_usd = amount
                limit.save()
                service.check(ann.pk, "apollo", amount)
                with pytest.raises(BudgetExceededError) as refused:
                    service.check(ann.pk, "apollo", "0.76")
                assert (refused.value.scope, refused.value.limit) == (limit.scope.value, Decimal(amount))
            limit.delete()
            service.check(ann.pk, "apollo", "9")

    def test_the_settings_cannot_lead_out(self):
        with override_settings(CACHES=DOWN, COREASON_BUDGET={"REDIS_URL": "redis://127.0.0.1:1/0", "LOG_PATH": ""}):
            service.charge("ann", "0.25")
        assert spent("ann") == Decimal("0.25")
        with override_settings(COREASON_BUDGET={"REDIS_URL": "redis+cluster://127.0.0.1:1/0", "LOG_PATH": ""}):
            service.charge("ann", "0.25")
        assert spent("ann") == Decimal("0.50")

    def test_every_manager_is_isolated(self):
        shared.charge("ann", "0.25")
        assert spent("ann") == Decimal("0.25")
        assert SpendRecord.objects.total_usd() == Decimal("0.25")

    def test_a_fresh_ledger_within(self):
        service.charge("ann", "0.25")
        with isolated_budgets():
            service.charge("ann", "0.50")
            assert spent("ann") == Decimal("0.75")  # the records of the database count

    async def test_async(self):
        await service.acharge("ann", "0.25")
        async with service.reservation("ann", amount="1") as hold:
            await hold.acharge(cost="0.50")
        await asyncio.gather(*(service.acharge("ann", "0.01") for _ in range(5)))
        assert await SpendRecord.objects.acount() == 7
        status = await service.astatus("ann")
        assert status[0].spent == Decimal("0.80")

    async def test_sync_calls_on_the_loop(self):
        service.charge("ann", "0.25")
        assert spent("ann") == Decimal("0.25")
        assert await SpendRecord.objects.acount() == 1

    async def test_async_limits(self):
        ann = await get_user_model().objects.acreate(username="ann")
        await service.acheck(ann.pk, amount="9")
        await UserLimit.objects.acreate(user=ann, amount_usd="0.50")
        with pytest.raises(BudgetExceededError):
            await service.acheck(ann.pk, amount="9")

    def test_threads(self):
        failed: list[BaseException] = []

        def charge() -> None:
            try:
                service.charge("ann", "0.01")
            except BaseException as error:  # noqa: BLE001 - told below
                failed.append(error)
            finally:
                connection.close()

        threads = [threading.Thread(target=charge) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert not failed
        assert spent("ann") == Decimal("0.04")
        assert SpendRecord.objects.count() == 4


class InTestCase(IsolatedBudgetsMixin, Seen, TestCase):
    def test_blocks_of_its_own(self):
        with transaction.atomic():
            service.charge("ann", "0.25")
            with transaction.atomic():
                service.charge("ann", "0.25")
            assert SpendRecord.objects.count() == 2
        assert spent("ann") == Decimal("0.50")

    def test_a_limit_that_is_saved_in_a_block(self):
        service.charge("ann", "0.25", "apollo")
        with transaction.atomic():
            ProjectLimit.objects.create(project_id="apollo", amount_usd="0.25")
        with pytest.raises(BudgetExceededError):
            service.check("ann", "apollo")

    def test_captured_callbacks_do_no_harm(self):
        service.charge("ann", "0.25", "apollo")
        with self.captureOnCommitCallbacks(execute=True) as callbacks:
            ProjectLimit.objects.create(project_id="apollo", amount_usd="0.25")
        assert len(callbacks) == 1


class InTransactionTestCase(IsolatedBudgetsMixin, Seen, TransactionTestCase):
    def test_a_block_that_is_rolled_back_keeps_its_charge(self):
        in_memory = connection.is_in_memory_db()  # type: ignore[attr-defined]
        with transaction.atomic():
            service.charge("ann", "0.25")
            transaction.set_rollback(True)
        assert service.flush(10)
        assert spent("ann") == Decimal("0.25")
        assert SpendRecord.objects.count() == (0 if in_memory else 1)


@isolated_budgets()
class Decorated(Seen, TestCase):
    pass


class WithData(IsolatedBudgetsMixin, TestCase):
    ann: ClassVar[object]

    @classmethod
    def setUpTestData(cls) -> None:
        cls.ann = get_user_model().objects.create(username="ann").pk
        UserLimit.objects.create(user_id=cls.ann, amount_usd="1")
        service.charge(cls.ann, "0.25")

    def setUp(self) -> None:
        pass  # without super().setUp()

    def test_counts_what_was_spent_for_the_class(self):
        assert spent(self.ann) == Decimal("0.25")
        service.charge(self.ann, "0.75")
        with pytest.raises(BudgetExceededError):
            service.check(self.ann)

    def test_counts_it_again(self):
        self.test_counts_what_was_spent_for_the_class()


class Functions(TestCase):
    @isolated_budgets()
    def test_function(self):
        service.charge("ann", "0.25")
        assert SpendRecord.objects.count() == 1

    @isolated_budgets()
    async def test_async_function(self):
        await service.acharge("ann", "0.25")
        assert await SpendRecord.objects.acount() == 1

    def test_block(self):
        for _ in range(2):
            with isolated_budgets(), transaction.atomic():
                service.charge("ann", "0.25")
                assert spent("ann") == Decimal("0.25")
                SpendRecord.objects.all().delete()


class WithoutDatabase(IsolatedBudgetsMixin, SimpleTestCase):
    def test_limits_of_the_settings_can_be_overridden(self):
        with override_limits(daily_user="1.50"):
            assert service.manager().config.daily_user_limit_usd == Decimal("1.50")
