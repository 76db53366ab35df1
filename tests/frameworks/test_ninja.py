"""django-ninja, the real package: decorated operations, plain and async, their parameters, streams and refusals."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.db import connection
from ninja import Query, Router, Status

from coreason_budget import service
from coreason_budget.integrations.ninja import add_handlers
from coreason_budget.scopes import ANONYMOUS
from tests.http.steps import charge, do

from .operations import (
    MIDNIGHT,
    USER_ID,
    Bearer,
    Filters,
    Question,
    Word,
    api_with,
    ask,
    new_api,
    paying,
)

if TYPE_CHECKING:
    from django.http import HttpRequest
    from pytest_django import Settings

    from tests.http.site import Ledger, Site
from tests.http.test_references import noted

pytestmark = pytest.mark.django_db(transaction=True)


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
    assert answer.problem["type"] == "urn:coreason-budget:exceeded"
    assert noted(answer.json["reference"]).user == str(ann.pk)
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
