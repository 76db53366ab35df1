"""This project: a hold over user, project and site, and a final charge; its rows go to SQLite."""

from __future__ import annotations

import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import django
import redis
import redis.asyncio
from django.conf import settings
from django.core.management import call_command

from coreason_budget import BudgetConfig, BudgetExceededError, BudgetManager

from .turns import PROJECT, STORE, WIDE, Adapter, Way, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

#: The rows are written by another thread of the same interpreter while calls go on; else they wait for the turn's end.
MEANWHILE: Final = "sync, rows written meanwhile"


class Ours(Adapter):
    """A manager on the store, in its defaults but for the limits."""

    distribution = "django-coreason-budget"
    refusals = (BudgetExceededError,)

    def __init__(self) -> None:
        settings.configure(
            SECRET_KEY="only for benchmarks",  # noqa: S106 - there is nothing to protect
            USE_TZ=True,
            INSTALLED_APPS=["django.contrib.contenttypes", "django.contrib.auth", "coreason_budget"],
            DATABASES={
                "default": {
                    "ENGINE": "django.db.backends.sqlite3",
                    "NAME": Path("budget.sqlite3").absolute(),
                    "OPTIONS": {
                        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
                        "transaction_mode": "IMMEDIATE",
                        "timeout": 20,
                    },
                }
            },
            COREASON_BUDGET={"REDIS_URL": STORE},
        )
        django.setup()
        call_command("migrate", verbosity=0)
        self._manager = BudgetManager()
        self._request = ExitStack()
        self._request.enter_context(self._manager.deferred_writes())  # as in a request: nobody waits for the database
        self._go_on = threading.Event()
        self._go_on.set()

    def open(self, user: str, limit: str, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> dict[str, Way]:
        """Return the ways of a new manager, which has this limit for each user."""
        run(self._manager.close())
        manager = self._manager = BudgetManager(
            BudgetConfig(daily_user_limit_usd=limit, daily_project_limit_usd=WIDE, daily_global_limit_usd=WIDE)
        )
        client, aclient = redis.Redis.from_url(STORE), redis.asyncio.Redis.from_url(STORE)

        def call(estimate: str, cost: str, during: Callable[[], None]) -> None:
            hold = manager.reserve(user, PROJECT, amount=estimate)
            during()
            hold.charge(cost=cost, final=True)

        async def acall(estimate: str, cost: str, during: Callable[[], Coroutine[Any, Any, None]]) -> None:
            hold = await manager.areserve(user, PROJECT, amount=estimate)
            await during()
            await hold.acharge(cost=cost, final=True)

        return {
            "sync": Way(client.ping, call),
            "async": Way(aclient.ping, acall, is_async=True),
            MEANWHILE: Way(client.ping, call, variant_of="sync"),
        }

    def begin(self, way: str) -> None:
        """Let the thread that writes the rows wait, but for the way that is to see it work."""
        if way == MEANWHILE:
            return
        self._go_on.clear()
        self._manager.ledger.database.post(self._go_on.wait)

    def settle(self) -> None:
        """Have it write all that is to be written."""
        self._go_on.set()
        self._manager.flush(60)


if __name__ == "__main__":
    serve(Ours())
