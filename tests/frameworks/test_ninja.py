"""django-ninja, the real package: decorated operations, plain and async, their parameters, streams and refusals."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group, User
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import connection
from django.http import StreamingHttpResponse
from ninja import NinjaAPI, Path, Query, Router, Schema, Status
from ninja.security import HttpBearer
from ninja.streaming import JSONL, SSE

from coreason_budget import budgeted, service
from coreason_budget.integrations.ninja import add_handlers, budgeted_stream
from coreason_budget.scopes import ANONYMOUS
from tests.http.exchange import AsgiExchange, Call, WsgiExchange
from tests.http.site import Urls, cookies_of
from tests.http.steps import charge, do

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Iterator

    from django.http import HttpRequest
    from pytest_django import Settings

    from tests.http.exchange import Answer
    from tests.http.site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

MIDNIGHT = "2030-03-14T00:00:00+00:00"
USER_ID = "coreason_budget.integrations.ninja.user_id"
_numbers = count()


class Question(Schema):
    text: str
    words: int = 10


class Filters(Schema):
    language: str = "en"


class Word(Schema):
    text: str


class Bearer(HttpBearer):
    """Knows users by a token, which is their name."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        return User.objects.filter(username=token).first()


class AsyncBearer(HttpBearer):
    async def authenticate(self, request: HttpRequest, token: str) -> Any:
        return await User.objects.filter(username=token).afirst()


def new_api(**options: Any) -> NinjaAPI:
    return NinjaAPI(urls_namespace=f"api-{next(_numbers)}", **options)


def begin(site: Site, api: NinjaAPI, at: str = "/ask", *, user: Any = None, body: Any = None, **headers: str) -> Any:
    """Begin to call an operation: POST if there is a body."""
    site.settings.ROOT_URLCONF = Urls("", api.urls)
    sent = dict(headers)
    if user is not None:
        sent["cookie"] = cookies_of(user)
    if body is not None:
        sent["content-type"] = "application/json"
    call = Call(at, "GET" if body is None else "POST", sent, b"" if body is None else json.dumps(body).encode())
    if site.door == "asgi":
        return AsgiExchange(site.runner, ASGIHandler(), call)
    return WsgiExchange(WSGIHandler(), call)


def ask(site: Site, api: NinjaAPI, at: str = "/ask", **options: Any) -> Answer:
    """Call an operation and return its answer. See begin()."""
    answer: Answer = begin(site, api, at, **options).finish()
    return answer


def paying(request: HttpRequest) -> Any:
    yield charge(request)
    return {"held": f"{request.budget.hold.amount:f}"}  # type: ignore[attr-defined]


def api_with(site: Site, body: Callable[..., Any] = paying, route: str = "/ask", **options: Any) -> NinjaAPI:
    """Return an API with one decorated operation of the site's kind."""
    api = new_api(auth=options.pop("auth", None))
    api.api_operation(["GET", "POST"], route, **options)(site.budgeted(estimate="0.5")(body))
    return api


# Operations


def test_an_operation_is_held_and_charged(site: Site, ledger: Ledger, ann: Any) -> None:
    answer = ask(site, api_with(site), user=ann)

    assert (answer.status, answer.json) == (200, {"held": "0.5"})
    assert answer.budget == ("0.2", "0.8", MIDNIGHT)
    assert ledger.of(ann) == ("0.2", "0")


def everything(
    request: HttpRequest, project_id: str, question: Question, filters: Query[Filters], page: int = 1
) -> Any:
    yield charge(request)
    return {"got": [project_id, question.text, question.words, filters.language, page]}


def test_parameters_of_the_path_the_query_and_the_body_are_those_of_the_operation(
    site: Site, ledger: Ledger, ann: Any
) -> None:
    api = new_api()
    api.post("/{project_id}/ask")(site.budgeted(estimate="0.5", project="project_id")(everything))

    answer = ask(site, api, "/apollo/ask?page=3&language=de", user=ann, body={"text": "why?"})

    assert (answer.status, answer.json) == (200, {"got": ["apollo", "why?", 10, "de", 3]})
    assert ledger.of(ann, "apollo", scope="project") == ("0.2", "0")
    described = api.get_openapi_schema()["paths"]["/{project_id}/ask"]["post"]
    assert [parameter["name"] for parameter in described["parameters"]] == ["project_id", "language", "page"]
    assert described["requestBody"]["content"]["application/json"]["schema"]["$ref"] == "#/components/schemas/Question"


def test_functions_of_the_decorator_see_the_checked_parameters(site: Site, ledger: Ledger, ann: Any) -> None:
    api = new_api()
    terms = {
        "estimate": lambda request, question, **others: f"0.{question.words}",
        "project": lambda request, project_id, **others: project_id.upper(),
    }

    def body(request: HttpRequest, project_id: str, question: Question) -> Any:
        yield charge(request)
        return {"held": f"{request.budget.hold.amount:f}"}  # type: ignore[attr-defined]

    api.post("/{project_id}/ask")(site.budgeted(**terms)(body))

    assert ask(site, api, "/apollo/ask", user=ann, body={"text": "why?", "words": 7}).json == {"held": "0.7"}
    assert ledger.of(ann, "APOLLO", scope="project") == ("0.2", "0")


@pytest.mark.parametrize("body", [{"words": 3}, {"text": "why?", "words": "three"}])
def test_a_request_that_ninja_refuses_holds_nothing(
    site: Site, ledger: Ledger, ann: Any, commands: list[str], body: Any
) -> None:
    api = new_api()
    api.post("/{project_id}/ask")(site.budgeted(estimate="0.5", project="project_id")(everything))

    assert ask(site, api, "/apollo/ask", user=ann, body=body).status == 422
    assert commands == []


def test_a_refused_operation_is_not_run(site: Site, ledger: Ledger, ann: Any) -> None:
    service.charge(ann.pk, "0.6")

    answer = ask(site, api_with(site), user=ann, accept="application/json")

    assert (answer.status, answer.headers["Content-Type"]) == (429, "application/problem+json")
    assert (answer.json["detail"], answer.headers["Retry-After"]) == (
        "Your budget for today does not cover this request.",
        "43200",
    )
    assert answer.budget == ("0", "0.4", MIDNIGHT)
    assert ledger.of(ann) == ("0.6", "0")


def test_a_budget_that_cannot_be_checked_is_a_503(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(redis_url="redis://127.0.0.1:1", timeout="0.2")

    answer = ask(site, api_with(site), user=ann)

    assert (answer.status, answer.headers["Retry-After"], answer.json["type"]) == (
        503,
        "5",
        "urn:coreason-budget:unavailable",
    )


def test_an_operation_of_a_router_that_is_mounted_twice_is_decorated_in_both_places(
    site: Site, ledger: Ledger, ann: Any
) -> None:
    router = Router()
    router.get("/ask")(site.budgeted(estimate="0.5")(paying))
    api = new_api()
    api.add_router("/one", router, url_name_prefix="one")
    api.add_router("/two", router, url_name_prefix="two")

    assert ask(site, api, "/one/ask", user=ann).json == {"held": "0.5"}
    assert ask(site, api, "/two/ask", user=ann).json == {"held": "0.5"}
    assert ledger.of(ann) == ("0.4", "0")


def test_an_operation_that_fails_gives_its_hold_back(site: Site, ledger: Ledger, ann: Any) -> None:
    def failing(request: HttpRequest) -> Any:
        yield charge(request, "0.1")
        raise ZeroDivisionError

    api = api_with(site, failing)
    api.add_exception_handler(ZeroDivisionError, lambda request, error: api.create_response(request, {}, status=418))

    assert ask(site, api, user=ann).status == 418
    assert ledger.of(ann) == ("0.1", "0")


def test_an_answer_that_is_an_error_needs_no_charge(
    site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    def declining(request: HttpRequest) -> Any:
        return Status(404, {"text": "no such thing"})

    assert ask(site, api_with(site, declining, response={404: Word}), user=ann).status == 404
    assert warnings_of_the_app == []


def test_an_answer_without_a_charge_is_reported(
    site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    def forgetful(request: HttpRequest) -> Any:
        return {}

    assert ask(site, api_with(site, forgetful), user=ann).status == 200
    [warning] = warnings_of_the_app
    assert warning.startswith(
        "tests.frameworks.test_ninja.test_an_answer_without_a_charge_is_reported.<locals>.forgetful"
    )


# Who is asking


@pytest.fixture(params=[Bearer, AsyncBearer])
def bearer(request: pytest.FixtureRequest) -> Any:
    return request.param()


def test_a_user_whom_only_ninja_knows_is_charged(
    native_site: Site, ledger: Ledger, ann: Any, ben: Any, bearer: Any
) -> None:
    ledger.configure(user_id=USER_ID)
    api = api_with(native_site, auth=bearer)

    assert ask(native_site, api, authorization="Bearer ann", user=ben).status == 200
    assert (ledger.of(ann), ledger.of(ben), ledger.of(ANONYMOUS)) == (("0.2", "0"), ("0", "0"), ("0", "0"))


def test_a_user_whom_ninja_does_not_know_holds_nothing(
    native_site: Site, ledger: Ledger, ann: Any, commands: list[str], bearer: Any
) -> None:
    ledger.configure(user_id=USER_ID)

    assert ask(native_site, api_with(native_site, auth=bearer), authorization="Bearer nobody").status == 401
    assert commands == []


@pytest.mark.parametrize("who", ["ann", "nobody"])
def test_without_an_authenticator_it_is_the_user_of_the_session(site: Site, ledger: Ledger, ann: Any, who: str) -> None:
    ledger.configure(user_id=USER_ID)

    assert ask(site, api_with(site), user=ann if who == "ann" else None).status == 200
    assert ledger.of(ann if who == "ann" else ANONYMOUS) == ("0.2", "0")


def test_what_an_authenticator_returns_is_no_user_unless_it_is_one(site: Site, ledger: Ledger, ann: Any) -> None:
    def key(request: HttpRequest) -> str:
        return "a secret that must not be an id"

    ledger.configure(user_id=USER_ID)

    assert ask(site, api_with(site, auth=key), user=ann).status == 200
    assert ledger.of(ann) == ("0.2", "0")


# Errors in operations that are not decorated


def too_much(request: HttpRequest) -> Any:
    yield do(service, "check", request.auth.pk, amount="2")  # type: ignore[attr-defined]


@pytest.mark.parametrize("debug", [True, False], ids=["debug", "production"])
def test_the_handlers_answer_a_refusal_without_the_middleware(
    site: Site, ledger: Ledger, ann: Any, settings: Settings, *, debug: bool
) -> None:
    site.without_middleware()
    settings.DEBUG = debug
    api = new_api(auth=Bearer())
    add_handlers(api)
    api.get("/ask")(site.view(too_much))

    answer = ask(site, api, authorization="Bearer ann")

    assert (answer.status, answer.headers["Content-Type"], answer.headers["Retry-After"]) == (
        429,
        "application/problem+json",
        "43200",
    )
    assert answer.json["type"] == "urn:coreason-budget:too-large"


def test_the_handlers_answer_a_budget_that_cannot_be_checked(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(redis_url="redis://127.0.0.1:1", timeout="0.2")
    api = new_api(auth=Bearer())
    add_handlers(api)
    api.get("/ask")(site.view(too_much))

    answer = ask(site, api, authorization="Bearer ann")

    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")


@pytest.mark.parametrize("door", ["wsgi", "asgi"])
def test_a_refusal_rolls_back_what_the_operation_has_written(
    plain_site: Site, ledger: Ledger, ann: Any, monkeypatch: pytest.MonkeyPatch, door: str
) -> None:
    def writing(request: HttpRequest) -> Any:
        Group.objects.create(name="half done")
        service.check(ann.pk, amount="2")

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", value=True)
    plain_site.door = door
    api = new_api()
    add_handlers(api)
    api.get("/ask")(writing)

    assert ask(plain_site, api).status == 429
    assert not Group.objects.exists()


# Streams


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
