"""What is imported when: each in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path

HEAVY = ("django.db.models", "redis", "litellm", "django_redis", "loguru", "fakeredis")


def python(code: str) -> str:
    """Run code in a new process and return what it prints."""
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_importing_the_package_imports_nothing_heavy() -> None:
    loaded = python(f"import sys, coreason_budget; print([name for name in {HEAVY} if name in sys.modules])")

    assert loaded == "[]"


def test_names_can_be_imported_before_django_is_set_up() -> None:
    code = """
        from coreason_budget import ANONYMOUS, BudgetConfig, BudgetExceededError, AccountStatus, spend_recorded
        import sys
        print([name for name in ("django.db.models", "redis", "litellm") if name in sys.modules])
    """
    assert python(code) == "[]"


def test_every_public_name_is_there() -> None:
    code = """
        import os, django
        os.environ["DJANGO_SETTINGS_MODULE"] = "tests.settings"
        django.setup()
        import coreason_budget
        for name in coreason_budget.__all__:
            getattr(coreason_budget, name)
        print(set(coreason_budget.__all__) <= set(dir(coreason_budget)))
        try:
            coreason_budget.nothing
        except AttributeError as error:
            print(error)
    """
    assert python(code) == "True\nmodule 'coreason_budget' has no attribute 'nothing'"


@pytest.mark.parametrize("style", ["sync", "async"])
def test_checking_and_charging_a_known_cost_never_import_litellm(style: str, tmp_path: Path) -> None:
    code = f"""
        import os, sys, asyncio, warnings, django
        from django.conf import settings
        settings.configure(
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "coreason_budget"],
            DATABASES={{"default": {{"ENGINE": "django.db.backends.sqlite3", "NAME": {str(tmp_path / "db")!r}}}}},
            CACHES={{"default": {{
                "BACKEND": "django_redis.cache.RedisCache",
                "LOCATION": "redis://fake.invalid:6379/0",
                "OPTIONS": {{"CONNECTION_POOL_KWARGS": {{"connection_class": "fakeredis.FakeRedisConnection"}}}},
            }}}},
            COREASON_BUDGET={{"LOG_PATH": ""}},
        )
        import fakeredis
        settings.CACHES["default"]["OPTIONS"]["CONNECTION_POOL_KWARGS"]["connection_class"] = (
            fakeredis.FakeRedisConnection
        )
        django.setup()
        from django.core.management import call_command
        call_command("migrate", verbosity=0)
        from coreason_budget import service

        async def call():
            await service.check_availability("ann", estimated_cost="0.1")
            hold = await service.areserve("ann", amount="0.1")
            return await hold.acharge(cost="0.05", model="gpt-4o")

        if {style!r} == "async":
            receipt = asyncio.run(call())
        else:
            service.check("ann")
            with service.reservation("ann", amount="0.1") as hold:
                receipt = hold.charge(cost="0.05", model="gpt-4o")
        print(receipt.status[0].spent, "litellm" in sys.modules)
    """
    assert python(code) == "0.05 False"
