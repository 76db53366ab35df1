"""The exception handler for REST framework: a refusal as problem details, whoever has raised it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import Group
from django.core.cache import cache
from django.db import connection
from rest_framework.throttling import UserRateThrottle
from rest_framework.views import APIView

from coreason_budget import service
from coreason_budget.integrations.drf import BudgetThrottle
from coreason_budget.models import GlobalLimit
from tests.http.rest import Base, answer_of

from .throttled import Ask, ReversedRenderer, break_redis

if TYPE_CHECKING:
    from pytest_django import Settings

    from tests.http.site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

HANDLER = "coreason_budget.integrations.drf.exception_handler"


@pytest.fixture
def with_handler(settings: Settings) -> None:
    settings.REST_FRAMEWORK = {"EXCEPTION_HANDLER": HANDLER}


def test_with_the_handler_a_throttled_caller_is_told_why(
    rest_site: Site, ledger: Ledger, ann: Any, with_handler: None
) -> None:
    service.charge(ann.pk, "1")

    answer = answer_of(rest_site, Ask.as_view())

    assert (answer.status, answer.headers["Content-Type"]) == (429, "application/json")
    assert (answer.headers["Retry-After"], answer.budget) == ("43200", ("0", "0", "2030-03-14T00:00:00+00:00"))
    assert answer.problem == {
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

    assert answer.problem == {
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
