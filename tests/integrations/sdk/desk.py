"""What the tests of SDKs are made with: clients on a budget, and the provider's books beside the ledger."""

from __future__ import annotations

from dataclasses import replace
from decimal import Decimal
from inspect import isawaitable
from itertools import islice
from typing import TYPE_CHECKING, Any

import anthropic
import openai

from coreason_budget import PricingEngine, service
from coreason_budget.integrations.anthropic import wrap as wrap_anthropic
from coreason_budget.integrations.openai import wrap as wrap_openai
from coreason_budget.models import SpendRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from tests.conftest import Driver
    from tests.http.site import Ledger
    from tests.upstream import Produced, Upstream

ANN = "ann"
TEXT = "Six times seven is forty-two."
QUESTION = "What is six times seven?"
MESSAGES: Any = [{"role": "user", "content": QUESTION}]


#: How each protocol is asked, plain and as a stream; all of them are priced as gpt-4 or claude-sonnet-4-6.
CHAT: Any = {"model": "gpt-4", "messages": MESSAGES}
RESPONSE: Any = {"model": "gpt-4", "input": QUESTION}
MESSAGE: Any = {"model": "claude-sonnet-4-6", "max_tokens": 100, "messages": MESSAGES}


class Desk:
    """Clients of both kinds, sync or async as the driver is, whose calls ann pays unless a test says otherwise."""

    def __init__(self, driver: Driver, ledger: Ledger, upstream: Upstream) -> None:
        self.driver = driver
        self.ledger = ledger
        self.upstream = upstream
        self._clients: list[Any] = []

    @property
    def is_async(self) -> bool:
        return self.driver.name == "async"

    def bare_openai(self, **options: Any) -> Any:
        kind = openai.AsyncOpenAI if self.is_async else openai.OpenAI
        return self.keep(kind(**{"base_url": self.upstream.openai_url, "api_key": "-", "max_retries": 0, **options}))

    def bare_anthropic(self, **options: Any) -> Any:
        kind = anthropic.AsyncAnthropic if self.is_async else anthropic.Anthropic
        return self.keep(kind(**{"base_url": self.upstream.url, "api_key": "-", "max_retries": 0, **options}))

    def openai(self, **terms: Any) -> Any:
        return wrap_openai(self.bare_openai(), **{"user": ANN, **terms})

    def anthropic(self, **terms: Any) -> Any:
        return wrap_anthropic(self.bare_anthropic(), **{"user": ANN, **terms})

    def call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Call a method of a client and return what it returns, awaited if need be."""
        if not self.is_async:
            return function(*args, **kwargs)

        async def main() -> Any:
            answer = function(*args, **kwargs)
            return await answer if isawaitable(answer) else answer

        return self.driver.run(main)  # type: ignore[attr-defined]

    def read(self, stream: Any, most: int | None = None) -> list[Any]:
        """Return the events of a stream, at most so many, and leave it open."""
        if self.is_async:
            return list(self.driver.run(lambda: _first(stream, most)))  # type: ignore[attr-defined]
        return list(islice(stream, most))

    def close(self) -> None:
        for client in self._clients:
            self.call(client.close)

    # the books -------------------------------------------------------------------------------------------------------

    def owed(self, model: str | None = None, *, times: int = 1) -> Decimal:
        """
        Return what the provider's books come to, in USD, were the output so many times as long.

        Claude's tokens are not public: where it does not say what it used, what it wrote is counted as twice as long.
        """
        self.upstream.wait()
        engine = PricingEngine()
        usages = [(line.model, replace(line.usage, output_tokens=line.output_tokens * times)) for line in self._lines]
        return sum((engine.cost_of_usage(usage, model or name).cost_usd for name, usage in usages), Decimal(0))

    @property
    def _lines(self) -> list[Produced]:
        return self.upstream.produced

    def account(self, user: object = ANN, project: object = None, scope: str = "user") -> tuple[Decimal, Decimal]:
        """Return what is spent and what is held, in USD; the database says the same."""
        assert service.manager().flush(10)
        items = self.driver(service, "status", user, project)
        (status,) = [item for item in items if item.scope == scope]
        if scope == "user":
            assert SpendRecord.objects.filter(user_id=user).total_usd() == status.spent
        return status.spent, status.held

    @property
    def spent(self) -> Decimal:
        """What ann has spent, in USD; nothing is held any more."""
        spent, held = self.account()
        assert held == 0
        return spent

    @property
    def records(self) -> list[tuple[str, int | None, int | None]]:
        """Model, input and output tokens of what was booked, oldest first."""
        assert service.manager().flush(10)
        return [(row.model, row.input_tokens, row.output_tokens) for row in SpendRecord.objects.order_by("at", "pk")]

    def keep(self, client: Any) -> Any:
        self._clients.append(client)
        return client


async def _first(stream: AsyncIterator[Any], most: int | None) -> list[Any]:
    found: list[Any] = []
    iterator = aiter(stream)
    while most is None or len(found) < most:
        try:
            found.append(await anext(iterator))
        except StopAsyncIteration:
            break
    return found
