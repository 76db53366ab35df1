from __future__ import annotations

import asyncio
import contextlib
import json
import os
import subprocess
import sys
import unittest
import warnings
from decimal import Decimal
from pathlib import Path

import pytest
from django.test import SimpleTestCase
from redis.exceptions import RedisClusterException

from coreason_budget import BudgetConfig, BudgetConfigurationError, BudgetManager, service
from coreason_budget.ledger import isolation as state
from coreason_budget.models import SpendRecord
from coreason_budget.testing import isolated_budgets, isolated_budgets_fixture, override_limits  # noqa: F401

from .conftest import django_redis_alias, fake_backend
from .servers import free_port
from .user_project_tests.cases import (  # noqa: F401 - a user's tests, run by pytest
    Decorated,
    Functions,
    InTestCase,
    InTransactionTestCase,
    WithData,
    WithoutDatabase,
    spent,
)

ROOT = Path(__file__).parent.parent


@pytest.fixture(autouse=True)
def no_redis(settings):
    settings.CACHES = {"default": django_redis_alias(f"redis://127.0.0.1:{free_port()}/0")}


@pytest.mark.slow
@pytest.mark.parametrize("database", ["memory", "file"])
def test_users_tests_pass_with_djangos_runner(tmp_path, database):
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.user_project_tests.settings"}
    if database == "file":
        name = str(tmp_path / "test.sqlite3")
        in_file = {"ENGINE": "django.db.backends.sqlite3", "NAME": name, "TEST": {"NAME": name}}
        environment["USER_PROJECT_DATABASE"] = json.dumps(in_file)
    command = [sys.executable, "-W", "error", "-m", "django", "test", "tests.user_project_tests", "--pattern=cases.py"]
    done = subprocess.run(
        [*command, "--noinput"], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.usefixtures("isolated_budgets")
def test_the_fixture_gives_every_test_a_fresh_ledger(db, number):
    assert not SpendRecord.objects.exists()
    service.charge("ann", "0.25")
    assert spent("ann") == Decimal("0.25")
    assert SpendRecord.objects.count() == 1


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.usefixtures("isolated_budgets")
@pytest.mark.django_db(transaction=True)
def test_the_fixture_with_committed_rows(number):
    test_the_fixture_gives_every_test_a_fresh_ledger(None, number)


def test_the_fixture_ends_before_the_database_whatever_the_order(isolated_budgets, transactional_db):
    service.charge("ann", "0.25")
    with service.deferred_writes():
        service.charge("ann", "0.25")


@pytest.mark.usefixtures("isolated_budgets")
def test_an_event_loop_of_the_test_itself_sees_the_tests_own_transaction(db):
    async def main():
        await service.acharge("ann", "0.25")
        service.charge("ann", "0.25")
        return (await service.astatus("ann"))[0].spent

    assert asyncio.run(main()) == Decimal("0.50")
    assert SpendRecord.objects.count() == 2


def test_the_real_ledger_is_back_after_the_block(db, settings):
    settings.CACHES = {"default": fake_backend().alias}
    service.charge("ann", "0.25")
    with isolated_budgets():
        service.charge("ann", "0.50")
    assert spent("ann") == Decimal("0.25")


def test_a_real_ledger_never_hears_of_what_is_written_late(transactional_db, settings):
    backend = fake_backend()
    manager = BudgetManager(BudgetConfig(redis_url=backend.url))
    settings.CACHES = {"default": backend.alias}
    with isolated_budgets(), service.deferred_writes():
        for _ in range(20):
            manager.charge("ann", "0.25")
            service.charge("ann", "0.25")
    assert SpendRecord.objects.count() == 40
    assert backend.client().keys("*") == []
    manager.close_sync()


def test_blocks_may_overlap(db):
    one, other = isolated_budgets(), isolated_budgets()
    one.enable()
    other.enable()
    one.disable()
    service.check("ann")
    other.disable()
    assert state.current() is None


def test_the_isolation_ends_when_the_test_fails(db):
    with pytest.raises(ZeroDivisionError), isolated_budgets():
        raise ZeroDivisionError
    assert state.current() is None


def test_only_test_cases_can_be_decorated():
    with pytest.raises(TypeError):
        isolated_budgets()(type("Plain", (), {}))


@pytest.mark.parametrize("missing", ["fakeredis", "lupa"])
def test_without_fakeredis_the_error_names_the_remedy(monkeypatch, missing):
    monkeypatch.setitem(sys.modules, missing, None)
    with pytest.raises(BudgetConfigurationError, match=r"pip install 'django-coreason-budget\[testing\]'"):
        isolated_budgets().enable()
    assert state.current() is None


def test_a_limit_that_is_no_amount_is_refused_at_once():
    with pytest.raises(BudgetConfigurationError, match="daily_user_limit_usd"):
        override_limits(daily_user="much")


def test_a_decorated_class_keeps_its_own_set_up():
    calls = []

    @isolated_budgets()
    class Case(SimpleTestCase):
        @classmethod
        def setUpClass(cls):
            super().setUpClass()
            calls.append(state.current())

        def test_it(self):
            calls.append(state.current())

    result = unittest.TestResult()
    unittest.TestSuite([Case("test_it")]).run(result)
    assert result.wasSuccessful(), result.errors
    assert None not in calls
    assert len(set(calls)) == 2
    assert state.current() is None


# The warning.


@pytest.fixture
def unwarned(monkeypatch):
    monkeypatch.setattr(state, "_warned", False)


@pytest.mark.parametrize(
    "url",
    [
        "redis://127.0.0.1:6379/0",
        "redis://localhost/0",
        "redis://budgets.invalid:7000/0",
        "redis+cluster://127.0.0.1:6379",
        "unix:///nowhere/redis.sock",
    ],
)
def test_a_test_that_is_about_to_spend_real_budgets_warns_once(unwarned, url):
    manager = BudgetManager(BudgetConfig(redis_url=url))

    def use():
        with contextlib.suppress(RedisClusterException):
            manager.ledger.connections.client()

    with pytest.warns(RuntimeWarning, match=r"coreason_budget\.testing"):
        use()
    manager.ledger.connections.close()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        use()


@pytest.mark.parametrize("what", ["fake", "own server", "no test", "isolated"])
def test_a_ledger_that_is_the_tests_own_does_not_warn(unwarned, monkeypatch, db, what):
    url = "redis://127.0.0.1:6379/0"
    if what == "own server":
        url = f"redis://[::1]:{free_port()}/0"
    if what == "no test":
        monkeypatch.setattr(state, "under_test", lambda: False)
    config = BudgetConfig() if what == "fake" else BudgetConfig(redis_url=url)
    manager = BudgetManager(config)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        if what == "isolated":
            with isolated_budgets():
                manager.check("ann")
        else:
            manager.ledger.connections.client()
    assert not state._warned
