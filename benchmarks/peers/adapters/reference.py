"""coreason-budget, the reference package: a check over user, project and site before a call, and a record after it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio

from coreason_budget import BudgetConfig, BudgetExceededError, BudgetManager

from .turns import PROJECT, STORE, WIDE, Adapter, Way, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Reference(Adapter):
    """Its manager, as its README shows it."""

    distribution = "coreason-budget"
    refusals = (BudgetExceededError,)

    def open(self, user: str, limit: str, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> dict[str, Way]:
        """Return the ways of a manager with this limit for each user."""
        del run
        budget = BudgetManager(
            BudgetConfig(
                redis_url=STORE,
                daily_user_limit_usd=float(limit),
                daily_project_limit_usd=float(WIDE),
                daily_global_limit_usd=float(WIDE),
            )
        )
        client, aclient = redis.Redis.from_url(STORE), redis.asyncio.Redis.from_url(STORE)

        def call(estimate: str, cost: str, during: Callable[[], None]) -> None:
            budget.check_availability_sync(user, project_id=PROJECT, estimated_cost=float(estimate))
            during()
            budget.record_spend_sync(user, float(cost), project_id=PROJECT)

        async def acall(estimate: str, cost: str, during: Callable[[], Coroutine[Any, Any, None]]) -> None:
            await budget.check_availability(user, project_id=PROJECT, estimated_cost=float(estimate))
            await during()
            await budget.record_spend(user, float(cost), project_id=PROJECT)

        return {"sync": Way(client.ping, call), "async": Way(aclient.ping, acall, is_async=True)}


if __name__ == "__main__":
    serve(Reference())
