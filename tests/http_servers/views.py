"""The views of the small site: each call holds 0.10 USD of the user that the header ``X-User`` names."""

from __future__ import annotations

import asyncio
import os
import time
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Final

from django.http import HttpRequest, JsonResponse, StreamingHttpResponse
from django.urls import path

from coreason_budget import budgeted
from coreason_budget.models import SpendRecord

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from coreason_budget.http import RequestBudget

    class BudgetRequest(HttpRequest):
        budget: RequestBudget


HOLD: Final = Decimal("0.10")
TICK: Final = Decimal("0.001")  # what each piece of an endless stream costs
PAUSE: Final = 0.01


def user_of(request: HttpRequest) -> str:
    return request.headers["X-User"]


@budgeted(estimate=HOLD)
def ask(request: BudgetRequest) -> JsonResponse:
    return JsonResponse({"charged": f"{request.budget.charge(cost=HOLD).cost:f}"})


@budgeted(estimate=HOLD)
async def aask(request: BudgetRequest) -> JsonResponse:
    receipt = await request.budget.acharge(cost=HOLD)
    return JsonResponse({"charged": f"{receipt.cost:f}"})


@budgeted(estimate=HOLD)
def two_parts(request: BudgetRequest) -> StreamingHttpResponse:
    """Say one part, and the other when the test opens the gate."""

    def parts() -> Iterator[str]:
        yield "first "
        with gate(request).open():
            yield "second"
        request.budget.charge(cost="0.02")

    return StreamingHttpResponse(parts())


@budgeted(estimate=HOLD)
async def atwo_parts(request: BudgetRequest) -> StreamingHttpResponse:
    async def parts() -> AsyncIterator[str]:
        yield "first "
        opened = await asyncio.to_thread(gate(request).open)
        opened.close()
        yield "second"
        await request.budget.acharge(cost="0.02")

    return StreamingHttpResponse(parts())


@budgeted(estimate=HOLD)
def endless(request: BudgetRequest) -> StreamingHttpResponse:
    """Speak until the reader goes, and note for the test how much was said."""

    def ticks() -> Iterator[str]:
        said = 0
        try:
            while True:
                said += 1
                yield "tick\n"
                time.sleep(PAUSE)
        finally:
            note(request, said)
            request.budget.charge(cost=said * TICK)

    return StreamingHttpResponse(ticks())


@budgeted(estimate=HOLD)
async def aendless(request: BudgetRequest) -> StreamingHttpResponse:
    async def ticks() -> AsyncIterator[str]:
        said = 0
        try:
            while True:
                said += 1
                yield "tick\n"
                await asyncio.sleep(PAUSE)
        finally:
            note(request, said)
            await request.budget.acharge(cost=said * TICK)

    return StreamingHttpResponse(ticks())


def standing(request: BudgetRequest) -> JsonResponse:
    [today] = [item for item in request.budget.status() if item.scope == "user"]
    records = SpendRecord.objects.filter(user_id=user_of(request))
    said = folder() / f"said-{user_of(request)}"
    return JsonResponse(
        {
            "spent": f"{today.spent.normalize():f}",
            "held": f"{today.held.normalize():f}",
            "recorded": f"{records.total_usd().normalize():f}",
            "said": int(said.read_text()) if said.exists() else None,
        }
    )


def folder() -> Path:
    return Path(os.environ["SITE_FOLDER"])


def gate(request: HttpRequest) -> Path:
    """Return the pipe that the test opens to let a stream go on."""
    return folder() / f"gate-{user_of(request)}"


def note(request: HttpRequest, said: int) -> None:
    (folder() / f"said-{user_of(request)}").write_text(str(said))


urlpatterns = [
    path("ask/", ask),
    path("aask/", aask),
    path("two_parts/", two_parts),
    path("atwo_parts/", atwo_parts),
    path("endless/", endless),
    path("aendless/", aendless),
    path("standing/", standing),
]
