"""The throttle and the exception handler for REST framework, on the real package, in its own renderers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import connection
from rest_framework.decorators import api_view, authentication_classes, renderer_classes, throttle_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from coreason_budget import budgeted, service
from coreason_budget.integrations.drf import BudgetThrottle
from coreason_budget.models import GlobalLimit
from coreason_budget.scopes import ANONYMOUS
from tests.http.rest import Base, TokenAuthentication, answer_of
from tests.http.site import Urls

if TYPE_CHECKING:
    from pytest_django import Settings

    from tests.http.site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

HANDLER = "coreason_budget.integrations.drf.exception_handler"


class ReversedRenderer(BaseRenderer):
    """A format that nobody but REST framework's own rendering can produce."""

    media_type = "application/json"
    format = "reversed"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return JSONRenderer().render(data)[::-1]


class Ask(Base, APIView):
    throttle_classes: Any = (BudgetThrottle,)

    def get(self, request: Any, **kwargs: Any) -> Any:
        request.budget.charge(cost="0.2")
        return Response({"answer": 42})


@api_view(["GET"])
@authentication_classes([TokenAuthentication])
@renderer_classes([JSONRenderer])
@throttle_classes([BudgetThrottle])
def ask(request: Any) -> Any:
    request.budget.charge(cost="0.2")
    return Response({"answer": 42})


VIEWS = pytest.mark.parametrize("view", [Ask.as_view(), ask], ids=["class", "function"])


@pytest.fixture
def with_handler(settings: Settings) -> None:
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": HANDLER}


@VIEWS
def test_who_has_something_left_is_let_through_and_nothing_is_held(
    rest_site: Site, ledger: Ledger, ann: Any, view: Any
) -> None:
    answer = answer_of(rest_site, view)

    assert (answer.status, answer.json) == (200, {"answer": 42})
    assert answer.budget == ("0.2", "0.8", "2030-03-14T00:00:00+00:00")
    assert (ledger.of(ann), ledger.of(ANONYMOUS)) == (("0.2", "0"), ("0", "0"))


@VIEWS
def test_who_has_nothing_left_gets_the_429_of_the_framework(
    rest_site: Site, ledger: Ledger, ann: Any, view: Any
) -> None:
    service.charge(ann.pk, "1")

    answer = answer_of(rest_site, view)

    assert (answer.status, answer.headers["Content-Type"]) == (429, "application/json")
    assert answer.json == {"detail": "Request was throttled. Expected available in 43200 seconds."}
    assert answer.headers["Retry-After"] == "43200"
    assert answer.budget == ("0", "0", "2030-03-14T00:00:00+00:00")
    assert ledger.of(ann) == ("1", "0")


def test_the_refusal_is_in_the_format_of_the_view(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class AskReversed(Ask):
        renderer_classes = (ReversedRenderer,)

    service.charge(ann.pk, "1")

    assert answer_of(rest_site, AskReversed.as_view()).body[::-1].startswith(b'{"detail":"Request was throttled.')


@pytest.mark.parametrize(
    ("at", "seconds"), [("2030-03-13T23:59:59.5", 1), ("2030-03-13T23:00:00", 3600), ("2030-03-13T00:00:00", 86_400)]
)
def test_it_is_told_how_long_to_wait_until_the_reset(
    rest_site: Site, ledger: Ledger, ann: Any, at: str, seconds: int
) -> None:
    ledger.clock.set(f"{at}+00:00")
    service.charge(ann.pk, "1")

    answer = answer_of(rest_site, Ask.as_view())

    assert (answer.status, answer.headers["Retry-After"]) == (429, str(seconds))

    ledger.clock.set("2030-03-14T00:00:00+00:00")
    assert answer_of(rest_site, Ask.as_view()).status == 200


def test_a_limit_of_zero_has_nothing_to_wait_for(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(daily_user_limit_usd="0")

    answer = answer_of(rest_site, Ask.as_view())

    assert (answer.status, answer.json) == (429, {"detail": "Request was throttled."})
    assert "Retry-After" not in answer.headers


def test_an_amount_must_be_free(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class AskMuch(Ask):
        budget_amount = "0.5"

    service.charge(ann.pk, "0.5")
    assert answer_of(rest_site, AskMuch.as_view()).status == 200
    assert answer_of(rest_site, AskMuch.as_view()).status == 429
    assert ledger.of(ann) == ("0.7", "0")


def test_amount_and_project_may_be_methods(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class AskAsTold(Ask):
        def budget_amount(self, request: Any, **kwargs: Any) -> Any:
            return request.query_params["usd"]

        def budget_project(self, request: Any, **kwargs: Any) -> Any:
            return f"{request.auth}-{kwargs['pk']}"

    service.charge("ben", "2.5", "ann-7")

    def status(usd: str, pk: int) -> int:
        rest_site.settings.ROOT_URLCONF = Urls("<int:pk>/", AskAsTold.as_view())
        answer = answer_of(rest_site, AskAsTold.as_view(), at=f"/{pk}/?usd={usd}", route="<int:pk>/")
        return answer.status

    assert (status("0.5", 7), status("0.6", 7), status("0.6", 8)) == (200, 429, 200)


@pytest.mark.parametrize("attribute", ["view", "throttle"])
def test_the_project_of_the_url_counts(rest_site: Site, ledger: Ledger, ann: Any, attribute: str) -> None:
    class ProjectThrottle(BudgetThrottle):
        project = "project_id"

    class AskForProject(Ask):
        throttle_classes = (ProjectThrottle if attribute == "throttle" else BudgetThrottle,)
        if attribute == "view":
            budget_project = "project_id"

    service.charge("ben", "3", "apollo")

    def status(project: str) -> int:
        return answer_of(rest_site, AskForProject.as_view(), at=f"/{project}/", route="<project_id>/").status

    assert (status("apollo"), status("gemini"), status("x" * 201)) == (429, 200, 400)


def test_a_view_goes_before_its_throttle(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class GreedyThrottle(BudgetThrottle):
        amount = "2"

    class AskLittle(Ask):
        throttle_classes = (GreedyThrottle,)

    class AskLess(AskLittle):
        budget_amount = "0.1"

    assert answer_of(rest_site, AskLittle.as_view()).status == 429
    assert answer_of(rest_site, AskLess.as_view()).status == 200


def test_a_keyword_that_the_url_has_not_is_an_error_that_names_it(
    rest_site: Site, ledger: Ledger, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    class AskForProject(Ask):
        budget_project = "project_id"

    assert answer_of(rest_site, AskForProject.as_view(), at="/7/", route="<int:pk>/").status == 500
    assert "ImproperlyConfigured: project='project_id': the URL of this view has no keyword" in caplog.text


def test_who_may_not_call_is_told_that_first(rest_site: Site, ledger: Ledger, ann: Any, commands: list[str]) -> None:
    class AskUsersOnly(Ask):
        permission_classes = (IsAuthenticated,)

    assert answer_of(rest_site, AskUsersOnly.as_view(), token="").status == 401
    assert commands == []


def test_what_may_be_asked_costs_nothing(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    service.charge(ann.pk, "1")

    assert answer_of(rest_site, Ask.as_view(), method="OPTIONS").status == 200


def test_the_longest_wait_of_all_throttles_counts(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class OnceAWeek(UserRateThrottle):
        rate = "1/d"
        timer = staticmethod(lambda: 0.0)

        def wait(self) -> float | None:
            return 604_800.0

    class AskSeldom(Ask):
        throttle_classes = (BudgetThrottle, OnceAWeek)

    cache.clear()
    assert answer_of(rest_site, AskSeldom.as_view()).status == 200
    service.charge(ann.pk, "1")
    assert answer_of(rest_site, AskSeldom.as_view()).headers["Retry-After"] == "604800"


def test_a_handler_may_hold_what_the_throttle_has_looked_at(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class AskAndHold(Ask):
        @budgeted(estimate="0.5")
        def get(self, request: Any, **kwargs: Any) -> Any:
            held = request.budget.hold.amount
            request.budget.charge(cost="0.4")
            return Response({"held": f"{held:f}"})

    assert answer_of(rest_site, AskAndHold.as_view()).json == {"held": "0.5"}
    assert answer_of(rest_site, AskAndHold.as_view()).json == {"held": "0.5"}
    refused = answer_of(rest_site, AskAndHold.as_view(), accept="application/json")

    assert (refused.status, refused.headers["Content-Type"]) == (429, "application/problem+json")  # the decorator's
    service.charge(ann.pk, "0.2")
    refused = answer_of(rest_site, AskAndHold.as_view(), accept="application/json")
    assert (refused.status, refused.headers["Content-Type"]) == (429, "application/json")  # the throttle's
    assert ledger.of(ann) == ("1", "0")


# Redis does not answer


def break_redis(ledger: Ledger, **options: Any) -> None:
    ledger.configure(redis_url="redis://127.0.0.1:1", timeout="0.2", **options)


def test_a_budget_that_cannot_be_checked_is_a_503_of_the_framework(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    break_redis(ledger)

    answer = answer_of(rest_site, Ask.as_view())

    assert (answer.status, answer.headers["Content-Type"], answer.headers["Retry-After"]) == (
        503,
        "application/json",
        "5",
    )
    assert answer.json == {"detail": "The budget cannot be checked at the moment, so this request was not carried out."}


def test_a_budget_that_cannot_be_checked_lets_through_if_the_project_says_so(
    rest_site: Site, ledger: Ledger, ann: Any
) -> None:
    break_redis(ledger, on_unavailable="allow")

    assert answer_of(rest_site, Ask.as_view()).status == 200


# The exception handler


def test_with_the_handler_a_throttled_caller_is_told_why(
    rest_site: Site, ledger: Ledger, ann: Any, with_handler: None
) -> None:
    service.charge(ann.pk, "1")

    answer = answer_of(rest_site, Ask.as_view())

    assert (answer.status, answer.headers["Content-Type"]) == (429, "application/json")
    assert (answer.headers["Retry-After"], answer.budget) == ("43200", ("0", "0", "2030-03-14T00:00:00+00:00"))
    assert answer.json == {
        "type": "urn:coreason-budget:exceeded",
        "status": 429,
        "title": "Budget used up",
        "detail": "Your budget for today does not cover this request.",
        "scope": "user",
        "period": "day",
        "resets_at": "2030-03-14T00:00:00+00:00",
        "retry_after": 43200,
        "limit_usd": "1",
        "spent_usd": "1",
        "held_usd": "0",
        "remaining_usd": "0",
        "requested_usd": "0",
    }


def test_with_the_handler_the_figures_of_others_stay_theirs(
    rest_site: Site, ledger: Ledger, ann: Any, with_handler: None
) -> None:
    GlobalLimit.objects.create(period="day", amount_usd="5")
    service.charge("ben", "5")

    answer = answer_of(rest_site, Ask.as_view())

    assert answer.json == {
        "type": "urn:coreason-budget:exceeded",
        "status": 429,
        "title": "Budget used up",
        "detail": "The budget of this site for today does not cover this request.",
        "scope": "global",
        "period": "day",
        "resets_at": "2030-03-14T00:00:00+00:00",
        "retry_after": 43200,
    }


def by_token(request: Any) -> str:
    return f"token-{request.auth}"


def test_with_the_handler_whoever_the_project_says_is_asking_is_told_the_own_figures(
    rest_site: Site, ledger: Ledger, ann: Any, with_handler: None
) -> None:
    ledger.configure(user_id=f"{__name__}.by_token")
    service.charge("token-ann", "1")

    answer = answer_of(rest_site, Ask.as_view())

    assert (answer.status, answer.json["spent_usd"]) == (429, "1")


def test_with_the_handler_a_blocked_caller_is_not_told_to_wait(
    rest_site: Site, ledger: Ledger, ann: Any, with_handler: None
) -> None:
    class Never(BudgetThrottle):
        def wait(self) -> float | None:
            return 60.0

    class AskSeldom(Ask):
        throttle_classes = (BudgetThrottle, Never)

    ledger.configure(daily_user_limit_usd="0")
    answer = answer_of(rest_site, AskSeldom.as_view())

    assert (answer.status, answer.json["type"]) == (429, "urn:coreason-budget:blocked")
    assert "retry_after" not in answer.json
    assert "Retry-After" not in answer.headers


def test_with_the_handler_a_refusal_inside_a_view_is_rendered_by_the_framework(
    rest_site: Site, ledger: Ledger, ann: Any, with_handler: None
) -> None:
    class Greedy(Base, APIView):
        renderer_classes = (ReversedRenderer,)

        def get(self, request: Any) -> Any:
            service.check(request.user.pk, amount="2")

    answer = answer_of(rest_site, Greedy.as_view())

    assert (answer.status, answer.headers["Retry-After"]) == (429, "43200")
    assert b'"type":"urn:coreason-budget:too-large"' in answer.body[::-1]


@pytest.mark.parametrize("throttles", [(BudgetThrottle,), ()], ids=["throttle", "view"])
def test_with_the_handler_a_budget_that_cannot_be_checked_says_what_it_is(
    rest_site: Site, ledger: Ledger, ann: Any, with_handler: None, throttles: Any
) -> None:
    class Checking(Base, APIView):
        throttle_classes = throttles

        def get(self, request: Any) -> Any:
            service.check(request.user.pk)

    break_redis(ledger)
    answer = answer_of(rest_site, Checking.as_view())

    assert (answer.status, answer.headers["Retry-After"]) == (503, "5")
    assert answer.json == {
        "type": "urn:coreason-budget:unavailable",
        "status": 503,
        "title": "Budget unavailable",
        "detail": "The budget cannot be checked at the moment, so this request was not carried out.",
        "retry_after": 5,
    }


def test_with_the_handler_a_refusal_rolls_back_what_the_request_has_written(
    rest_site: Site, ledger: Ledger, ann: Any, with_handler: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Writing(Base, APIView):
        def get(self, request: Any) -> Any:
            Group.objects.create(name="half done")
            service.check(request.user.pk, amount="2")

    monkeypatch.setitem(connection.settings_dict, "ATOMIC_REQUESTS", value=True)

    assert answer_of(rest_site, Writing.as_view()).status == 429
    assert not Group.objects.exists()


def test_with_the_handler_other_errors_are_the_frameworks_own(
    rest_site: Site, ledger: Ledger, ann: Any, with_handler: None
) -> None:
    class RateOnly(UserRateThrottle):
        rate = "1/d"

    class AskOnce(Ask):
        throttle_classes = (RateOnly,)

    cache.clear()
    assert answer_of(rest_site, AskOnce.as_view()).status == 200
    assert answer_of(rest_site, AskOnce.as_view()).json["detail"].startswith("Request was throttled.")
    assert answer_of(rest_site, AskOnce.as_view(), token="nobody").status == 401
