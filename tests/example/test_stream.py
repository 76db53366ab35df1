from __future__ import annotations

import asyncio
import json
from decimal import Decimal
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import async_to_sync, sync_to_async
from openai import OpenAIError

from coreason_budget import service
from coreason_budget.models import UserLimit
from example_project.chat import assistant, pretender
from example_project.chat_site.policy import POLICY

from ..conftest import django_redis_alias
from ..litellms import WARNS
from ..servers import free_port
from .books import accounts, booked

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from django.test import AsyncClient

pytestmark = WARNS

PIECES = 5


@async_to_sync
async def ask(script: AsyncClient, question: str = "Who pays?", pieces: int | None = None) -> Any:
    """Send a message and read the answer; of a stream the events, and if told so only the first pieces of it."""
    response: Any = await script.post("/support/stream/", {"question": question})
    if not response.streaming:
        return response
    events = []
    async for line in response.streaming_content:
        events.append(json.loads(line))
        if len(events) == pieces:
            break
    await close(response)
    return events


async def close(response: Any) -> None:
    """End a response as Django's ASGI handler does when the client has gone."""
    await response.streaming_content.aclose()
    await sync_to_async(response.close)()


def page_of(browser) -> str:
    page: str = browser.get("/support/").content.decode()
    return page


def test_an_answer_comes_in_pieces_and_ends_with_its_cost(script, browser, alice):
    *pieces, end = ask(script)
    answer = pretender.answer([{"role": "user", "content": "Who pays?"}])
    assert "".join(piece["text"] for piece in pieces) == answer
    assert len(pieces) > PIECES
    (record,) = booked()
    assert end == {"cost": f"{record.cost:f}"}
    assert (record.user, record.project, record.model) == (str(alice.pk), "support", "gpt-4")
    assert record.cost == record.price
    assert accounts(alice) == dict.fromkeys(("user", "project", "global"), (record.cost, Decimal(0)))
    assert answer in page_of(browser)


def test_a_stream_is_no_page_and_is_never_kept(script):
    response = async_to_sync(script.post)("/support/stream/", {"question": "Who pays?"})
    assert response["Content-Type"] == "application/x-ndjson"
    assert response["Cache-Control"] == "no-store"
    assert response["Content-Security-Policy"] == POLICY
    async_to_sync(close)(response)


def test_while_the_model_speaks_the_most_that_it_may_cost_is_held(script, alice):
    @async_to_sync
    async def seen_from_inside() -> tuple[Decimal, Decimal]:
        response = await script.post("/support/stream/", {"question": "Who pays?"})
        content = response.streaming_content
        await anext(content)
        (user, *_) = await service.astatus(alice.pk)
        await close(response)
        return user.spent, user.held

    spent, held = seen_from_inside()
    assert spent == 0
    assert held >= service.pricing().calculate("gpt-4", 1, assistant.MAX_TOKENS)
    assert accounts(alice)["user"][1] == 0


def test_who_goes_away_in_the_middle_pays_for_what_was_said(script, browser, alice):
    whole = ask(script)[-1]["cost"]
    events = ask(script, pieces=PIECES)
    said = "".join(event["text"] for event in events)
    _, record = booked()
    assert len(events) == PIECES
    assert record.answer < record.prompt
    assert record.cost == record.price
    assert accounts(alice)["user"] == (Decimal(whole) + record.cost, Decimal(0))
    assert f">{said}</p>" in page_of(browser)


def test_who_goes_away_before_the_first_word_pays_nothing(script, alice):
    @async_to_sync
    async def leave() -> None:
        response = await script.post("/support/stream/", {"question": "Who pays?"})
        await close(response)

    leave()
    assert accounts(alice)["user"] == (Decimal(0), Decimal(0))


def test_a_cancelled_answer_is_paid_too(script, alice, settings):
    settings.CHAT_PIECE_DELAY = 0.01

    @async_to_sync
    async def cancel() -> None:
        response = await script.post("/support/stream/", {"question": "Who pays?"})
        begun = asyncio.Event()

        async def read() -> None:
            async for _ in response.streaming_content:
                begun.set()

        reading = asyncio.create_task(read())
        await begun.wait()
        reading.cancel()
        with pytest.raises(asyncio.CancelledError):
            await reading
        await close(response)

    cancel()
    (record,) = booked()
    assert accounts(alice)["user"] == (record.cost, Decimal(0))


def test_a_budget_that_is_over_says_why_and_when_it_resets(script, alice):
    UserLimit.objects.create(user=alice, amount_usd="0.001")
    response = ask(script)
    problem = json.loads(response.content)
    assert response.status_code == 429
    assert response["Content-Type"] == "application/problem+json"
    assert problem["title"] == "Request too large for the budget"
    assert (problem["scope"], problem["period"]) == ("user", "day")
    assert problem["resets_at"].endswith("T00:00:00+00:00")
    assert 0 < problem["retry_after"] <= 86_400
    assert problem["detail"] == "This request may cost more than your whole budget."
    assert booked() == []


def test_a_limit_that_is_raised_lets_the_very_next_message_through(script, alice):
    limit = UserLimit.objects.create(user=alice, amount_usd="0.001")
    assert ask(script).status_code == 429
    limit.amount_usd = Decimal(1)
    limit.save()
    assert "cost" in ask(script)[-1]


def test_a_budget_that_cannot_be_checked_is_a_503_and_the_page_still_comes(script, browser, settings):
    nobody = django_redis_alias(f"redis://127.0.0.1:{free_port()}/0")
    settings.CACHES = {**settings.CACHES, "default": nobody}
    response = ask(script)
    assert response.status_code == 503
    assert json.loads(response.content)["title"] == "Budget unavailable"
    assert int(response["Retry-After"]) > 0
    assert 'data-budget-state="unknown"' in page_of(browser)


def failing(pieces: int) -> Any:
    """A model that says some pieces and fails."""

    class Failing:
        async def __aenter__(self) -> AsyncIterator[Any]:
            return self.chunks()

        async def __aexit__(self, *_: object) -> None:
            pass

        async def chunks(self) -> AsyncIterator[Any]:
            for number in range(pieces):
                yield SimpleNamespace(choices=[SimpleNamespace(delta=SimpleNamespace(content=f"word {number} "))])
            raise OpenAIError("It failed.")

    async def ask(**_: Any) -> Failing:
        return Failing()

    return ask


@pytest.mark.parametrize(
    ("pieces", "problem"),
    [
        (0, "The model did not answer. Nothing was charged. Please try again."),
        (3, "The model stopped in the middle of its answer. Only what it wrote is charged."),
    ],
)
def test_a_model_that_fails_says_so(script, alice, monkeypatch, pieces, problem):
    monkeypatch.setattr(assistant, "acompletion", failing(pieces))
    *said, last = [event for event in ask(script) if "cost" not in event]
    assert (len(said), last) == (pieces, {"problem": problem})
    assert accounts(alice)["user"] == (Decimal(0), Decimal(0))
