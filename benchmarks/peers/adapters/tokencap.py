"""tokencap: check_and_increment over three dimensions, around a call; it counts tokens, here millionths of a USD."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import redis
from tokencap import Action, ActionKind, BudgetExceededError, DimensionPolicy, Guard, Policy, Threshold
from tokencap.backends.redis import RedisBackend
from tokencap.core.types import TokenUsage
from tokencap.interceptor.base import call as guarded_call

from .turns import PROJECT, STORE, WIDE, Adapter, Way, micros, serve

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine


class _Provider:
    """What stands in for OpenAI's or Anthropic's: the call says what it is estimated at and what it cost."""

    def estimate_tokens(self, request: dict[str, Any]) -> int:
        return int(request["estimate"])

    def extract_usage(self, response: int) -> TokenUsage:
        return TokenUsage(input_tokens=0, output_tokens=response)

    def get_model(self, request: dict[str, Any]) -> str:
        return str(request["model"])


class Peer(Adapter):
    """The way of a wrapped client's call, with the policy that ``limit=`` makes: block at 100 %."""

    distribution = "tokencap"
    refusals = (BudgetExceededError,)

    def open(self, user: str, limit: str, run: Callable[[Coroutine[Any, Any, Any]], Any]) -> dict[str, Way]:
        """Return the one way of a guard whose policy has three dimensions; its async calls block, they are the same."""
        del run
        block = [Threshold(at_pct=1.0, actions=[Action(kind=ActionKind.BLOCK)])]
        limits = {"user": micros(limit), "project": micros(WIDE), "site": micros(WIDE)}
        guard = Guard(
            policy=Policy(
                dimensions={name: DimensionPolicy(limit=cap, thresholds=block) for name, cap in limits.items()}
            ),
            identifiers={"user": user, "project": PROJECT, "site": "site"},
            backend=RedisBackend(STORE),
            quiet=True,
        )
        provider = _Provider()

        def call(estimate: str, cost: str, during: Callable[[], None]) -> None:
            def complete(**_: object) -> int:
                during()
                return micros(cost)

            guarded_call(complete, {"model": "any", "estimate": micros(estimate)}, guard, provider)

        return {"sync": Way(redis.Redis.from_url(STORE).ping, call)}


if __name__ == "__main__":
    serve(Peer())
