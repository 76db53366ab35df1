"""Calls of litellm in decorated views: they draw on the view's hold, and streams are booked before it ends."""

from __future__ import annotations

import asyncio
import gc
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse

from coreason_budget import ANONYMOUS, MissingUserError, service
from coreason_budget.integrations import litellm
from coreason_budget.models import SpendRecord
from tests.http.steps import do
from tests.litellms import WARNS
from tests.upstream import Answer, Gate, Tokens

from .bench import ANSWERED, ASKED

if TYPE_CHECKING:
    from collections.abc import Generator

    from tests.http.site import Ledger, Site
    from tests.upstream import Upstream

pytestmark = [*WARNS, pytest.mark.django_db(transaction=True)]


def ask(upstream: Upstream, **options: Any) -> Any:
    """Have a view ask the upstream."""
    call = {"api_base": upstream.openai_url, "api_key": "-", "max_retries": 0, **options}
    return do(litellm, "completion", "openai/gpt-4", ASKED, **call)


class Reading:
    """A stream that a view reads chunk by chunk."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def next(self) -> Any:
        return next(self.stream, None)

    async def anext(self) -> Any:
        return await anext(self.stream, None)

    def close(self) -> None:
        self.stream.close()

    async def aclose(self) -> None:
        await self.stream.aclose()


def pieces(upstream: Upstream, *, closes: bool = True) -> Generator[Any, Any, None]:
    """Stream an answer of the upstream as text."""
    yield from texts((yield ask(upstream, stream=True, max_tokens=100)), closes=closes)


def texts(answer: Any, *, closes: bool = True) -> Generator[Any, Any, None]:
    """Stream an answer that litellm streams as text."""
    stream = Reading(answer)
    try:
        while chunk := (yield do(stream, "next")):
            if chunk.choices[0].delta.content:
                yield chunk.choices[0].delta.content
    finally:
        if closes:
            yield do(stream, "close")


def booked(user: Any) -> tuple[Decimal, int]:
    """Return what was booked for a user, in USD and in records; the ledger must say the same and hold nothing."""
    service.flush(10)
    records = SpendRecord.objects.filter(user_id=user.pk)
    (status,) = [item for item in service.status(user.pk) if item.scope == "user"]
    assert (status.spent, status.held) == (records.total_usd(), 0)
    return status.spent, records.count()


def test_a_call_draws_on_the_hold_of_its_view(native_site: Site, ledger: Ledger, upstream: Upstream, ann: Any) -> None:
    held: list[str] = []

    @native_site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        answers = []
        for _ in range(2):
            response = yield ask(upstream)
            yield do(request.budget, "charge", response)  # by habit; it counts once
            held.append(ledger.of(ann)[1])
            answers.append(response.choices[0].message.content)
        return HttpResponse("\n".join(answers))

    upstream.default = Answer(tokens=Tokens(input=20))
    answer = native_site.get(view, user=ann)
    assert answer.text == f"{ANSWERED}\n{ANSWERED}"
    assert held == ["0.49898", "0.49796"]
    assert answer.budget[0] == "0.00204"
    assert booked(ann) == (Decimal("0.00204"), 2)


@pytest.mark.parametrize("who", ["user", "visitor"])
def test_a_call_of_a_view_that_is_not_decorated_is_paid_by_who_is_asking(
    native_site: Site, ledger: Ledger, upstream: Upstream, ann: Any, who: str
) -> None:
    def view(_: Any) -> Any:
        response = yield ask(upstream)
        return HttpResponse(response.choices[0].message.content)

    asking = ann if who == "user" else None
    assert native_site.get(native_site.view(view), user=asking).text == ANSWERED
    ledger.settled()
    assert ledger.of(ann) == (("0.00057", "0") if asking else ("0", "0"))
    assert ledger.of(ANONYMOUS) == (("0", "0") if asking else ("0.00057", "0"))

    with pytest.raises(MissingUserError, match="with BudgetMiddleware"):
        native_site.run(native_site.view(view), None)  # outside of any request


def test_a_stream_that_an_undecorated_view_opens_is_paid_by_who_is_asking(
    native_site: Site, ledger: Ledger, upstream: Upstream, ann: Any
) -> None:
    def view(_: Any) -> Any:
        answer = yield ask(upstream, stream=True, max_tokens=100)
        return StreamingHttpResponse(native_site.stream(texts(answer)))

    assert native_site.get(native_site.view(view), user=ann).text == ANSWERED
    assert booked(ann) == (Decimal("0.00057"), 1)


def test_a_stream_that_is_opened_after_an_undecorated_view_has_returned_knows_nobody(
    native_site: Site, upstream: Upstream, ann: Any
) -> None:
    view = native_site.view(lambda _: StreamingHttpResponse(native_site.stream(pieces(upstream))))
    with pytest.raises(MissingUserError, match="after a view has returned"):
        native_site.get(view, user=ann)
    assert upstream.exchanges == []


def test_a_call_that_may_cost_more_than_the_view_holds_tops_its_hold_up(
    native_site: Site, ledger: Ledger, upstream: Upstream, ann: Any
) -> None:
    @native_site.budgeted(estimate="0.001")
    def view(_: Any) -> Any:
        response = yield ask(upstream, max_tokens=100)
        return HttpResponse(response.choices[0].message.content)

    assert native_site.get(view, user=ann).status == 200
    assert booked(ann) == (Decimal("0.00057"), 1)

    ledger.configure(daily_user_limit_usd="0.002")
    refused = native_site.get(view, user=ann)
    assert (refused.status, refused.json["requested_usd"]) == (429, "0.00542")
    assert len(upstream.exchanges) == 1


def test_a_stream_of_a_view_is_booked_at_its_end(
    native_site: Site, ledger: Ledger, upstream: Upstream, ann: Any
) -> None:
    view = native_site.budgeted(estimate="0.5")(lambda _: StreamingHttpResponse(native_site.stream(pieces(upstream))))
    assert native_site.get(view, user=ann).text == ANSWERED
    assert booked(ann) == (Decimal("0.00057"), 1)


@pytest.mark.parametrize("closes", [True, False], ids=["closed", "dropped"])
def test_a_client_that_goes_pays_for_what_came(
    native_site: Site, ledger: Ledger, upstream: Upstream, ann: Any, closes: Any
) -> None:
    upstream.will(Answer(tokens=Tokens(input=14), gate=Gate(before=2)))
    view = native_site.budgeted(estimate="0.5")(
        lambda _: StreamingHttpResponse(native_site.stream(pieces(upstream, closes=closes)))
    )
    exchange = native_site.open(view, user=ann)
    assert [exchange.chunk(), exchange.chunk()] == [b"Six", b" times"]
    exchange.leave()
    if not closes:
        gc.collect()
        native_site.runner.run(asyncio.sleep(0))
    assert upstream.exchange().ending == "left"
    assert booked(ann) == (Decimal("0.00054"), 1)
