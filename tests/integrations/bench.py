"""What the tests of the integrations call a provider with, and how they compare its books with the ledger."""

from __future__ import annotations

import sys
from decimal import Decimal
from itertools import islice
from typing import TYPE_CHECKING, Any

from coreason_budget import PricingEngine, service
from coreason_budget.models import SpendRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.conftest import Driver
    from tests.http.site import Ledger
    from tests.upstream import Upstream

ASKED = [{"role": "user", "content": "What is six times seven?"}]
ANSWERED = "Six times seven is forty-two."
USER = "ann"


class Bench:
    """A way to call (sync or async), the provider that is called, and the ledger."""

    def __init__(self, driver: Driver, ledger: Ledger, upstream: Upstream) -> None:
        self.driver = driver
        self.ledger = ledger
        self.upstream = upstream

    @property
    def is_async(self) -> bool:
        return self.driver.name == "async"

    def __call__(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Call a function of the integration, as ann: ``bench("completion", "openai/gpt-4", ASKED)``."""
        from coreason_budget.integrations import litellm

        options = {"budget_user": USER, "api_base": self.upstream.openai_url, "api_key": "-", **kwargs}
        return self.driver(litellm, name, *args, **{key: value for key, value in options.items() if value != ()})

    def chat(self, model: str = "openai/gpt-4", **kwargs: Any) -> Any:
        """Have a chat completion, without retries."""
        return self("completion", model, ASKED, **{"num_retries": 0, "max_retries": 0, **kwargs})

    def read(self, stream: Any, most: int | None = None) -> list[Any]:
        """Return the chunks of a stream, at most so many, and leave it open."""
        if self.is_async:
            chunks: list[Any] = self.driver.run(lambda: _first(stream, most))  # type: ignore[attr-defined]
            return chunks
        return list(islice(stream, most))

    def close(self, stream: Any) -> None:
        """Close a stream."""
        self.driver(_Closing(stream), "close")

    def end(self) -> None:
        """Close the clients that litellm keeps for an event loop and would leave open when that ends."""
        litellm = sys.modules.get("litellm")
        if litellm is None:
            return
        if self.is_async:
            self.driver.run(litellm.close_litellm_async_clients)  # type: ignore[attr-defined]
        litellm.in_memory_llm_clients_cache.flush_cache()

    # the books -------------------------------------------------------------------------------------------------------

    def owed(self, *models: str) -> Decimal:
        """Return what the provider's books come to, in USD; models are the names to price each request under."""
        produced = self.upstream.produced
        names = models if len(models) == len(produced) else models[:1] * len(produced)
        engine = PricingEngine()
        return sum(
            (engine.cost_of_usage(line.usage, name).cost_usd for line, name in zip(produced, names, strict=True)),
            Decimal(0),
        )

    @property
    def spent(self) -> Decimal:
        """What ann has spent, in USD; nothing may be held any more."""
        service.manager().flush(10)
        (status,) = [item for item in self.driver(service, "status", USER) if item.scope == "user"]
        assert status.held == 0
        assert SpendRecord.objects.filter(user_id=USER).total_usd() == status.spent
        spent: Decimal = status.spent
        return spent

    @property
    def held(self) -> Decimal:
        """What is held for ann, in USD."""
        (status,) = [item for item in self.driver(service, "status", USER) if item.scope == "user"]
        held: Decimal = status.held
        return held

    @property
    def records(self) -> list[tuple[str, int | None, int | None]]:
        """Model, input and output tokens of what was booked, oldest first."""
        service.manager().flush(10)
        rows = SpendRecord.objects.filter(user_id=USER).order_by("at", "pk")
        return [(row.model, row.input_tokens, row.output_tokens) for row in rows]


def text(chunks: list[Any]) -> str:
    """Return what chunks of a chat say."""
    return "".join(choice.delta.content or "" for chunk in chunks for choice in chunk.choices)


class _Closing:
    def __init__(self, stream: Any) -> None:
        self._stream = stream

    def close(self) -> None:
        self._stream.close()

    async def aclose(self) -> None:
        await self._stream.aclose()


async def _first(stream: AsyncIterator[Any], most: int | None) -> list[Any]:
    found: list[Any] = []
    while most is None or len(found) < most:
        try:
            found.append(await anext(stream))
        except StopAsyncIteration:
            break
    return found
