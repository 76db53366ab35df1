"""mcp-budget-governor: a reservation of each of three limits, settled to the real cost. Async only."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

import redis.asyncio
from mcp_budget_governor import (
    BudgetExceeded,
    Context,
    FailMode,
    Governor,
    Limit,
    LimitExceeded,
    Policy,
    RedisBackend,
    Scope,
    Unit,
    Window,
)

from .turns import PROJECT, STORE, WIDE, Adapter, Way, micros, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class Peer(Adapter):
    """Its reserve and settle; a tenant stands for the project."""

    distribution = "mcp-budget-governor"
    refusals = (BudgetExceeded, LimitExceeded)

    def open(self, user: str, limit: str, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> dict[str, Way]:
        """Return the one way of a governor whose policy has three limits."""
        del run
        caps = {Scope.USER: micros(limit), Scope.TENANT: micros(WIDE), Scope.GLOBAL: micros(WIDE)}
        policy = Policy.of(
            *(
                Limit(scope.value, cap, Window.DAY, scope, Unit.USD_MICROS, fail_mode=FailMode.CLOSED)
                for scope, cap in caps.items()
            )
        )
        governor = Governor(policy, RedisBackend.from_url(STORE))
        context = Context(user=user, tenant=PROJECT)
        aclient = redis.asyncio.Redis.from_url(STORE)

        async def acall(estimate: str, cost: str, during: Callable[[], Coroutine[Any, Any, None]]) -> None:
            async with AsyncExitStack() as stack:
                held = []
                for each in policy.limits:
                    hold = await stack.enter_async_context(governor.reserved(each.name, micros(estimate), context))
                    hold.actual = 0  # unless all of them are granted
                    held.append(hold)
                await during()
                for hold in held:
                    hold.actual = micros(cost)

        return {"async": Way(aclient.ping, acall, is_async=True)}


if __name__ == "__main__":
    serve(Peer())
