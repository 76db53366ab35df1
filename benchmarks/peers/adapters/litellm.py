"""litellm's budget reservation: the functions that its proxy calls before and after a request. Async only."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import litellm  # noqa: TID253 - it is the peer
import redis.asyncio
from litellm.caching.redis_cache import RedisCache  # noqa: TID253
from litellm.proxy import proxy_server  # noqa: TID253
from litellm.proxy._types import LiteLLM_UserTable, UserAPIKeyAuth  # noqa: TID253
from litellm.proxy.common_utils.user_api_key_cache import project_cache_key  # noqa: TID253
from litellm.proxy.spend_tracking.budget_reservation import reserve_budget_for_request  # noqa: TID253

from .turns import PROJECT, STORE, WIDE, Adapter, Way, micros, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

SITE = "site"
MODEL = "benchmark"
#: A token costs $0.0001, so that max_tokens says what a call may cost at most.
PRICE = {
    "litellm_provider": "openai",
    "mode": "chat",
    "input_cost_per_token": 0.0,
    "output_cost_per_token": 0.0001,
    "max_input_tokens": 1_000,
    "max_output_tokens": 1_000_000,
}
ROW = {"spend": 0.0, "litellm_budget_table": {"max_budget": float(WIDE)}}


class Peer(Adapter):
    """Spend counters in Redis for a user, a project and an organization, which stands for the site; no database."""

    distribution = "litellm"
    refusals = (litellm.BudgetExceededError,)

    def __init__(self) -> None:
        litellm.register_model({MODEL: PRICE})
        proxy_server.spend_counter_cache.attach_redis_cache(
            RedisCache(url=STORE), default_redis_ttl=litellm.default_redis_ttl
        )

    def open(self, user: str, limit: str, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> dict[str, Way]:
        """Return the one way of its proxy, whose caches know the limits of the project and the organization."""
        cache = proxy_server.user_api_key_cache
        run(cache.async_set_cache(key=f"org_id:{SITE}:with_budget", value=ROW))
        run(cache.async_set_cache(key=project_cache_key(PROJECT), value=ROW))
        token = UserAPIKeyAuth(token=f"key of {user}", user_id=user, project_id=PROJECT, org_id=SITE)
        who = LiteLLM_UserTable(user_id=user, max_budget=float(limit), spend=0.0)
        aclient = redis.asyncio.Redis.from_url(STORE)

        async def acall(estimate: str, cost: str, during: Callable[[], Coroutine[Any, Any, None]]) -> None:
            request = {
                "model": MODEL,
                "messages": [{"role": "user", "content": "What is six times seven?"}],
                "max_tokens": micros(estimate) // 100,
            }
            reservation = await reserve_budget_for_request(
                request_body=request,
                route="/chat/completions",
                llm_router=None,
                valid_token=token,
                team_object=None,
                user_object=who,
                prisma_client=None,
                user_api_key_cache=cache,
                proxy_logging_obj=proxy_server.proxy_logging_obj,
            )
            await during()
            await proxy_server.increment_spend_counters(
                token=None,
                team_id=None,
                user_id=user,
                response_cost=float(cost),
                org_id=SITE,
                project_id=PROJECT,
                budget_reservation=reservation,
            )

        return {"async": Way(aclient.ping, acall, is_async=True)}


if __name__ == "__main__":
    serve(Peer())
