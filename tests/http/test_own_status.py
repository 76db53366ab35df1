"""What users may ask of their own budget: the endpoint and the context processor."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.template import engines
from django.test import Client, RequestFactory
from django.urls import include, path, reverse

from coreason_budget import service
from coreason_budget.context_processors import budget
from coreason_budget.ledger.steps import Command

from ..conftest import fake_backend

if TYPE_CHECKING:
    from pytest_django import DjangoAssertNumQueries, Settings

pytestmark = pytest.mark.django_db(transaction=True)

urlpatterns = [path("budget/", include("coreason_budget.urls"))]


@pytest.fixture(autouse=True)
def site(settings: Settings) -> None:
    settings.ROOT_URLCONF = __name__
    settings.CACHES = {**settings.CACHES, "default": fake_backend().alias}
    settings.COREASON_BUDGET = {
        "LOG_PATH": "",
        "DAILY_USER_LIMIT_USD": "2",
        "MONTHLY_USER_LIMIT_USD": "20",
        "PROJECT_ID": f"{__name__}.project",
    }


def project(_: object) -> str:
    return "search"


@pytest.fixture
def ann(client: Client) -> Any:
    user = get_user_model().objects.create_user("ann")
    client.force_login(user)
    return user


def test_users_see_their_own_limits_and_no_others(client: Client, ann: Any) -> None:
    service.charge(ann.pk, "0.000000001", "search")
    service.charge("somebody-else", "1.5", "search")
    with service.reservation(ann.pk, amount="0.25"):
        answer = client.get(reverse("coreason_budget:status"))
    assert answer.status_code == 200
    day, month = answer.json()["accounts"]
    assert datetime.fromisoformat(day.pop("resets_at")) <= datetime.fromisoformat(month.pop("resets_at"))
    assert day == {
        "period": "day",
        "limit_usd": "2",
        "spent_usd": "0.000000001",
        "held_usd": "0.25",
        "remaining_usd": "1.749999999",
    }
    assert month == {**day, "period": "month", "limit_usd": "20", "remaining_usd": "19.749999999"}
    assert "no-store" in answer["Cache-Control"]
    assert "private" in answer["Cache-Control"]
    assert answer["Vary"] == "Cookie"


def test_a_user_without_a_limit_is_told_so(client: Client, ann: Any, settings: Settings) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "DAILY_USER_LIMIT_USD": None}
    assert client.get(reverse("coreason_budget:status")).json() == {"accounts": []}


def test_visitors_who_are_not_logged_in_get_nothing(client: Client) -> None:
    answer = client.get(reverse("coreason_budget:status"))
    assert answer.status_code == 403
    assert answer["Content-Type"] == "application/problem+json"
    assert answer.json() == {
        "type": "about:blank",
        "status": 403,
        "title": "Not logged in",
        "detail": "Please log in to see your budget.",
    }


def test_a_budget_that_cannot_be_checked_is_503(client: Client, ann: Any, settings: Settings) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "REDIS_URL": "redis://127.0.0.1:1/0"}
    answer = client.get(reverse("coreason_budget:status"), headers={"accept": "application/json"})
    assert answer.status_code == 503
    assert answer.json()["type"] == "urn:coreason-budget:unavailable"
    assert answer["Retry-After"] == "5"


@pytest.mark.parametrize("method", ["post", "put", "delete", "patch"])
def test_it_is_only_for_reading(client: Client, ann: Any, method: str) -> None:
    assert getattr(client, method)(reverse("coreason_budget:status")).status_code == 405


TEMPLATE = "{% for account in budget_accounts %}{{ account.period }} {{ account.spent }} {% endfor %}"


def page(user: Any, template: str) -> str:
    request = RequestFactory().get("/")
    request.user = user
    context = budget(request)
    return engines["django"].from_string(template).render(context, request)


def test_every_template_has_the_accounts_of_its_visitor(ann: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    service.charge(ann.pk, Decimal("0.5"), "search")
    asked: list[Command] = []
    perform = Command.perform

    def noted(command: Command, context: Any) -> Any:
        asked.append(command)
        return perform(command, context)

    monkeypatch.setattr(Command, "perform", noted)
    assert page(ann, TEMPLATE + TEMPLATE) == "day 0.5 month 0.5 " * 2
    assert len(asked) == 1


def test_a_template_that_does_not_look_asks_nobody(
    ann: Any, settings: Settings, django_assert_num_queries: DjangoAssertNumQueries
) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "REDIS_URL": "redis://127.0.0.1:1/0"}
    with django_assert_num_queries(0):
        assert page(ann, "nothing") == "nothing"


def test_a_page_goes_on_while_the_budget_cannot_be_checked(ann: Any, settings: Settings) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "REDIS_URL": "redis://127.0.0.1:1/0"}
    assert page(ann, f"{TEMPLATE}the end") == "the end"
