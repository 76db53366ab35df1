"""limits, a rate limiter: three fixed windows that are hit with the estimate, which cannot be given back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio
from limits import RateLimitItemPerDay, aio, storage, strategies

from .turns import PROJECT, STORE, WIDE, Adapter, Way, micros, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class LimitReachedError(Exception):
    """A window has no room for the estimate."""


class Peer(Adapter):
    """Its fixed windows of a day, which count millionths of a USD."""

    distribution = "limits"
    refusals = (LimitReachedError,)

    def open(self, user: str, limit: str, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> dict[str, Way]:
        """Return the ways of its synchronous and its asynchronous limiter."""
        del run
        wide = RateLimitItemPerDay(micros(WIDE))
        windows = ((RateLimitItemPerDay(micros(limit)), "user", user), (wide, "project", PROJECT), (wide, "site"))
        limiter = strategies.FixedWindowRateLimiter(storage.RedisStorage(STORE))
        alimiter = aio.strategies.FixedWindowRateLimiter(
            aio.storage.RedisStorage(f"async+{STORE}", implementation="redispy")
        )
        client, aclient = redis.Redis.from_url(STORE), redis.asyncio.Redis.from_url(STORE)

        def call(estimate: str, cost: str, during: Callable[[], None]) -> None:
            del cost
            if not all(limiter.hit(*window, cost=micros(estimate)) for window in windows):
                raise LimitReachedError
            during()

        async def acall(estimate: str, cost: str, during: Callable[[], Coroutine[Any, Any, None]]) -> None:
            del cost
            for window in windows:
                if not await alimiter.hit(*window, cost=micros(estimate)):
                    raise LimitReachedError
            await during()

        return {"sync": Way(client.ping, call), "async": Way(aclient.ping, acall, is_async=True)}


if __name__ == "__main__":
    serve(Peer())
