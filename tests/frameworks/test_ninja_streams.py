"""Streaming operations of django-ninja: held until they end, refused before they begin."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.http import StreamingHttpResponse
from ninja import NinjaAPI, Path, Router
from ninja.streaming import JSONL, SSE

from coreason_budget import budgeted, service
from coreason_budget.integrations.ninja import budgeted_stream
from coreason_budget.scopes import ANONYMOUS
from tests.http.steps import charge

from .operations import (
    USER_ID,
    Word,
    api_with,
    ask,
    begin,
    new_api,
)

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from django.http import HttpRequest

    from tests.http.site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)


def words(request: Any) -> Iterator[Word]:
    yield Word(text="one")
    request.budget.charge(cost="0.2")
    yield Word(text="two")


async def async_words(request: Any) -> AsyncIterator[Word]:
    yield Word(text="one")
    await request.budget.acharge(cost="0.2")
    yield Word(text="two")


def stream_api(site: Site, route: str = "/ask", response: Any = JSONL[Word], **options: Any) -> NinjaAPI:
    """Return an API with one streaming operation of the site's kind."""
    terms = {"estimate": "0.5", **options}
    api = new_api(auth=terms.pop("auth", None))
    operation: Any = async_words if site.is_async else words
    api.get(route, response=response)(budgeted_stream(**terms)(operation))
    return api


@pytest.mark.parametrize("response", [JSONL[Word], SSE[Word]], ids=["jsonl", "sse"])
def test_a_stream_is_held_until_it_ends(native_site: Site, ledger: Ledger, ann: Any, response: Any) -> None:
    exchange = begin(native_site, stream_api(native_site, response=response), user=ann)

    assert json.loads(exchange.chunk().removeprefix(b"data: ")) == {"text": "one"}
    assert ledger.of(ann) == ("0", "0.5")
    assert json.loads(exchange.finish().body.removeprefix(b"data: ")) == {"text": "two"}
    assert ledger.of(ann) == ("0.2", "0")


def test_a_client_who_leaves_ends_the_hold_of_a_stream(native_site: Site, ledger: Ledger, ann: Any) -> None:
    exchange = begin(native_site, stream_api(native_site), user=ann)
    assert json.loads(exchange.chunk()) == {"text": "one"}

    exchange.leave()

    assert ledger.of(ann) == ("0", "0")


def test_a_refused_stream_is_a_429_and_not_a_broken_stream(native_site: Site, ledger: Ledger, ann: Any) -> None:
    service.charge(ann.pk, "0.6")

    answer = ask(native_site, stream_api(native_site), user=ann, accept="application/json")

    assert (answer.status, answer.json["remaining_usd"], answer.headers["Retry-After"]) == (429, "0.4", "43200")
    assert ledger.of(ann) == ("0.6", "0")


def test_a_stream_is_charged_to_the_user_whom_only_ninja_knows(
    native_site: Site, ledger: Ledger, ann: Any, commands: list[str], bearer: Any
) -> None:
    ledger.configure(user_id=USER_ID)
    api = stream_api(native_site, auth=bearer)

    assert (ask(native_site, api, authorization="Bearer nobody").status, commands) == (401, [])
    assert ask(native_site, api, authorization="Bearer ann").status == 200
    assert (ledger.of(ann), ledger.of(ANONYMOUS)) == (("0.2", "0"), ("0", "0"))


def test_a_stream_is_for_the_project_of_the_url(native_site: Site, ledger: Ledger, ann: Any) -> None:
    def plain(request: Any, project_id: Path[str]) -> Iterator[Word]:
        return words(request)

    async def asynchronous(request: Any, project_id: Path[str]) -> AsyncIterator[Word]:
        async for word in async_words(request):
            yield word

    api = new_api()
    decorated: Any = budgeted_stream(estimate="0.5", project="project_id")
    api.get("/{project_id}/ask", response=JSONL[Word])(decorated(asynchronous if native_site.is_async else plain))

    assert ask(native_site, api, "/apollo/ask", user=ann).status == 200
    assert ledger.of(ann, "apollo", scope="project") == ("0.2", "0")


def test_a_stream_of_a_router_that_is_mounted_twice_is_held_in_both_places(
    native_site: Site, ledger: Ledger, ann: Any
) -> None:
    router = Router()
    operation: Any = async_words if native_site.is_async else words
    router.get("/ask", response=JSONL[Word])(budgeted_stream(estimate="0.5")(operation))
    api = new_api()
    api.add_router("/one", router, url_name_prefix="one")
    api.add_router("/two", router, url_name_prefix="two")

    for at in ("/one/ask", "/two/ask"):
        exchange = begin(native_site, api, at, user=ann)
        exchange.chunk()
        assert ledger.of(ann)[1] == "0.5"
        exchange.finish()
    assert ledger.of(ann) == ("0.4", "0")


def test_a_streaming_response_of_a_decorated_operation_is_held_too(native_site: Site, ledger: Ledger, ann: Any) -> None:
    def chunks(request: HttpRequest) -> Any:
        yield b"one"
        yield charge(request)
        yield b"two"

    def body(request: HttpRequest) -> Any:
        return StreamingHttpResponse(native_site.stream(chunks(request)))

    exchange = begin(native_site, api_with(native_site, body), user=ann)

    assert exchange.chunk() == b"one"
    assert ledger.of(ann) == ("0", "0.5")
    assert exchange.finish().body == b"two"
    assert ledger.of(ann) == ("0.2", "0")


@pytest.mark.parametrize("generator", [words, async_words])
def test_a_generator_is_told_what_decorates_it(generator: Any) -> None:
    with pytest.raises(TypeError, match=r"cannot decorate the generator .*words: .*ninja\.budgeted_stream"):
        budgeted(estimate="0.5")(generator)


def test_options_that_cannot_be_used_are_refused_where_they_are_written() -> None:
    with pytest.raises(ValueError, match="project must be the name of a URL keyword"):
        budgeted_stream(project="")
