"""Whom a call is charged to: the user of the request, the visitor that nobody knows, or whom USER_ID names."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from uuid import UUID

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.contrib.auth import alogin, login, logout
from django.contrib.auth.models import User
from django.http import HttpResponse
from django.utils.functional import SimpleLazyObject

from coreason_budget import service
from coreason_budget.models import SpendRecord
from coreason_budget.scopes import ANONYMOUS

from .site import cookies_of
from .steps import charge, do

if TYPE_CHECKING:
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

HERE = f"{__name__}."


def paying(request: Any) -> Any:
    yield charge(request)
    return HttpResponse()


@pytest.fixture
def decorated(site: Site) -> Any:
    return site.budgeted(estimate="0.5")(paying)


@pytest.fixture(params=["decorated", "bare"])
def view(request: pytest.FixtureRequest, site: Site) -> Any:
    """Charge on a hold of the decorator, and without any."""
    return site.budgeted(estimate="0.5")(paying) if request.param == "decorated" else site.view(paying)


def test_a_user_is_charged_by_the_primary_key(site: Site, ledger: Ledger, view: Any, ann: Any, ben: Any) -> None:
    assert site.get(view, user=ann).status == 200

    assert (ledger.of(ann), ledger.of(ben)) == (("0.2", "0"), ("0", "0"))
    ledger.settled()
    assert SpendRecord.objects.get().user_id == str(ann.pk)


def test_visitors_who_are_not_logged_in_share_one_account(site: Site, ledger: Ledger, view: Any, ann: Any) -> None:
    assert [site.get(view).status for _ in range(2)] == [200, 200]

    assert ledger.of(ANONYMOUS) == ("0.4", "0")
    ledger.settled()
    assert {record.user_id for record in SpendRecord.objects.all()} == {""}


def test_visitors_may_have_a_limit_of_their_own(site: Site, ledger: Ledger, decorated: Any, ann: Any) -> None:
    ledger.configure(anonymous_daily_limit_usd="0")

    assert site.get(decorated).status == 429
    assert site.get(decorated, user=ann).status == 200


def test_a_site_without_authentication_has_visitors_only(site: Site, ledger: Ledger, view: Any) -> None:
    site.settings.MIDDLEWARE = ["coreason_budget.middleware.BudgetMiddleware"]

    assert site.get(view).status == 200
    assert ledger.of(ANONYMOUS) == ("0.2", "0")


def test_an_inactive_or_deleted_user_of_a_session_is_nobody(site: Site, ledger: Ledger, view: Any, ann: Any) -> None:
    cookie = cookies_of(ann)
    User.objects.filter(pk=ann.pk).update(is_active=False)

    assert site.get(view, cookie=cookie).status == 200
    assert ledger.of(ANONYMOUS) == ("0.2", "0")


class Knows:
    """A middleware that finds the user by a header, lazily or not, whatever the session says."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        name = request.headers.get("X-Name")
        if name:
            request.user = self.user(name)
        return self.get_response(request)

    def user(self, name: str) -> Any:
        return SimpleLazyObject(lambda: User.objects.get(username=name))


class KnowsByNumber(Knows):
    def user(self, name: str) -> Any:
        return SimpleNamespace(pk=UUID(name), is_authenticated=True)


@pytest.mark.parametrize("place", ["before", "after"])
def test_another_middleware_may_authenticate_lazily(
    site: Site, ledger: Ledger, view: Any, ann: Any, ben: Any, place: str
) -> None:
    own = f"{HERE}Knows"
    *others, budget = site.settings.MIDDLEWARE
    site.settings.MIDDLEWARE = [*others, own, budget] if place == "before" else [*others, budget, own]

    assert site.get(view, X_Name="ben").status == 200
    assert site.get(view, X_Name="ben", user=ann).status == 200  # the session says ann

    assert (ledger.of(ben), ledger.of(ann)) == (("0.4", "0"), ("0", "0"))


def test_a_primary_key_may_be_a_uuid(site: Site, ledger: Ledger, view: Any) -> None:
    number = "6b1f0a3e-3f0a-4b7e-9d0c-5f1f3d9a7c11"
    site.settings.MIDDLEWARE = [*site.settings.MIDDLEWARE, f"{HERE}KnowsByNumber"]

    assert site.get(view, X_Name=number).status == 200
    assert ledger.of(number) == ("0.2", "0")


def test_who_logs_in_during_a_request_is_charged_for_what_follows(site: Site, ledger: Ledger, ann: Any) -> None:
    ann.backend = "django.contrib.auth.backends.ModelBackend"

    @site.view
    def view(request: Any) -> Any:
        yield charge(request, "0.1")
        if site.is_async:
            yield do(SimpleNamespace(alogin=alogin), "login", request, ann)
        else:
            login(request, ann)
        yield charge(request, "0.2")
        if not site.is_async:
            logout(request)
            yield charge(request, "0.3")
        return HttpResponse()

    assert site.get(view).status == 200
    assert ledger.of(ann) == ("0.2", "0")
    assert ledger.of(ANONYMOUS) == ("0.1" if site.is_async else "0.4", "0")


def test_a_call_is_charged_to_who_began_it(site: Site, ledger: Ledger, ann: Any, ben: Any) -> None:
    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        request.user = ben
        yield charge(request)
        (own, _) = yield do(request.budget, "status")
        return HttpResponse(own.subject)

    assert site.get(view, user=ann).body == str(ann.pk).encode()
    assert (ledger.of(ann), ledger.of(ben)) == (("0.2", "0"), ("0", "0"))


# USER_ID


def by_header(request: Any) -> str:
    return f"key-{request.headers['X-Name']}"


async def by_header_async(request: Any) -> str:
    return by_header(request)


def by_query(request: Any) -> int:
    pk: int = User.objects.get(username=request.headers["X-Name"]).pk
    return pk


class ByHeader:
    async def __call__(self, request: Any) -> str:
        return by_header(request)


by_object = ByHeader()


def nobody(request: Any) -> None:
    return None


def rubbish(request: Any) -> Any:
    return request.headers["X-Name"].encode()


def empty(request: Any) -> str:
    return ""


@pytest.mark.parametrize("path", ["by_header", "by_header_async", "by_object"])
def test_another_function_may_say_who_asks(site: Site, ledger: Ledger, view: Any, ann: Any, path: str) -> None:
    ledger.configure(user_id=HERE + path)

    assert site.get(view, user=ann, X_Name="42").status == 200
    assert (ledger.of("key-42"), ledger.of(ann)) == (("0.2", "0"), ("0", "0"))


def test_that_function_may_query_the_database(site: Site, ledger: Ledger, view: Any, ben: Any) -> None:
    ledger.configure(user_id=f"{HERE}by_query")

    assert site.get(view, X_Name="ben").status == 200
    assert ledger.of(ben) == ("0.2", "0")


def test_none_of_that_function_is_a_visitor(site: Site, ledger: Ledger, view: Any, ann: Any) -> None:
    ledger.configure(user_id=f"{HERE}nobody")

    assert site.get(view, user=ann).status == 200
    assert (ledger.of(ANONYMOUS), ledger.of(ann)) == (("0.2", "0"), ("0", "0"))


@pytest.mark.parametrize(
    ("path", "error"),
    [
        ("rubbish", r"TypeError: USER_ID must be a str, int or UUID, not bytes: b'x'"),
        ("empty", r"ValueError: USER_ID must not be empty or blank, got ''"),
        ("missing", r"USER_ID'\] 'tests\.http\.test_users\.missing' cannot be imported"),
    ],
)
def test_a_function_that_says_no_id_is_an_error(
    site: Site, ledger: Ledger, view: Any, caplog: pytest.LogCaptureFixture, path: str, error: str
) -> None:
    ledger.configure(user_id=HERE + path)

    assert site.get(view, X_Name="x").status == 500
    assert re.search(error, caplog.text)
    assert ledger.of(ANONYMOUS) == ("0", "0")


def test_the_own_figures_are_shown_to_whom_that_function_names(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(user_id=f"{HERE}by_header")

    answer = site.get(site.budgeted(estimate="1.5")(paying), user=ann, X_Name="42")

    assert (answer.status, answer.json["limit_usd"], answer.budget[1]) == (429, "1", "1")


# Queries


def test_the_user_is_loaded_once(site: Site, ledger: Ledger, ann: Any, queries: list[str]) -> None:
    seen: list[Any] = []

    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        user = yield do(SimpleNamespace(auser=request.auser, user=lambda: request.user), "user")
        seen.append(user.pk)
        yield charge(request)
        return HttpResponse()

    cookie = cookies_of(ann)
    queries.clear()

    assert site.get(view, cookie=cookie).status == 200
    assert (seen, sum('FROM "auth_user"' in sql for sql in queries)) == ([ann.pk], 1)


def test_status_is_that_of_who_asks(site: Site, ledger: Ledger, ann: Any) -> None:
    service.charge(ann.pk, "0.3")

    @site.view
    def view(request: Any) -> Any:
        accounts = yield do(request.budget, "status")
        return HttpResponse(" ".join(f"{item.scope}:{item.remaining}" for item in accounts))

    assert site.get(view, user=ann).body == b"user:0.7 global:99.7"
    assert site.get(view).body == b"user:1 global:99.7"
