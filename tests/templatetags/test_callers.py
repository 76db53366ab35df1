from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import AnonymousUser, User
from django.core.exceptions import ImproperlyConfigured
from django.template import Engine, RequestContext, Template
from django.test import RequestFactory
from django.utils.asyncio import async_unsafe
from django.utils.functional import SimpleLazyObject

from coreason_budget import service
from coreason_budget.http import RequestBudget, budget_of
from coreason_budget.ledger.steps import Command
from coreason_budget.models import UserLimit
from coreason_budget.testing import isolated_budgets_fixture, override_limits  # noqa: F401
from tests.conftest import django_redis_alias
from tests.servers import free_port

from .stage import account, bar, left, rendered, words

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest
    from pytest_django import Settings

    from coreason_budget import AccountStatus


@pytest.fixture
def ann(isolated_budgets: None, db: None) -> User:
    return User.objects.create_user("ann")


def request_of(user: Any) -> HttpRequest:
    request = RequestFactory().get("/")
    request.user = user
    return request


def shown_to(user: Any, source: str, engine: Engine | None = None) -> str:
    context = RequestContext(request_of(user))
    return Template("{% load coreason_budget %}" + source, engine=engine).render(context)


@override_limits(daily_user="10")
def test_the_caller_sees_the_own_budget(ann: User) -> None:
    service.charge(ann.pk, "2.5")
    service.charge("another", "5")
    assert words(shown_to(ann, "{% budget_remaining %}")) == "$7.50"
    assert "$2.50 of $10.00 spent" in words(shown_to(ann, "{% budget_bar %}"))
    UserLimit.objects.create(user=ann, period="day", amount_usd=0)
    assert "Blocked" in words(shown_to(ann, "{% budget_bar %}"))


@override_limits(daily_user="10", anonymous_daily="1", daily_global="100")
def test_visitors_share_a_budget_and_the_site_has_one(ann: User) -> None:
    service.charge(ann.pk, "2.5")
    assert words(shown_to(AnonymousUser(), "{% budget_remaining %}")) == "$1.00"
    assert words(shown_to(AnonymousUser(), '{% budget_remaining "global" %}')) == "$97.50"


def test_the_request_may_come_from_the_context_alone(ann: User) -> None:
    with override_limits(daily_user="10"):
        assert words(rendered("{% budget_remaining %}", request=request_of(ann))) == "$10.00"


def test_no_context_processor_is_needed_where_the_page_is_rendered_with_a_request(ann: User) -> None:
    engine = Engine(libraries={"coreason_budget": "coreason_budget.templatetags.coreason_budget"})
    with override_limits(daily_user="10"):
        assert words(shown_to(ann, "{% budget_remaining %}", engine)) == "$10.00"


# One round trip a page.


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """List the commands that go to the ledger's server."""
    commands: list[str] = []
    perform: Callable[[Any, Any], Any] = Command.perform

    def watched(self: Command, context: Any) -> Any:
        commands.append(str(self.args[0]))
        return perform(self, context)

    monkeypatch.setattr(Command, "perform", watched)
    return commands


PAGE = {
    "base.html": "{% load coreason_budget %}{% budget_bar %}{% block main %}{% endblock %}{% include 'part.html' %}",
    "page.html": "{% extends 'base.html' %}{% load coreason_budget %}"
    "{% block main %}{% budget_remaining %}{% include 'part.html' with x=1 only %}{% endblock %}",
    "part.html": "{% load coreason_budget %}{% budget_remaining as left %}{{ left }}{% budget_bar 'global' %}",
    "parts.html": "{% include 'part.html' %}{% include 'part.html' %}",
}


def page_engine() -> Engine:
    return Engine(
        loaders=[
            ("django.template.loaders.locmem.Loader", PAGE),
            "django.template.loaders.app_directories.Loader",
        ],
        libraries={
            "coreason_budget": "coreason_budget.templatetags.coreason_budget",
            "i18n": "django.templatetags.i18n",
        },
    )


@pytest.mark.parametrize(("name", "tags"), [("page.html", 5), ("parts.html", 4)])
def test_all_tags_of_a_page_ask_the_ledger_once(ann: User, sent: list[str], name: str, tags: int) -> None:
    service.status(ann.pk)
    sent.clear()
    template, request = page_engine().get_template(name), request_of(ann)
    html = template.render(RequestContext(request))
    assert html.count("$") >= tags
    assert sent == ["EVALSHA"]
    template.render(RequestContext(request))
    assert sent == ["EVALSHA"] * 2  # the next rendering looks again


def test_a_page_rendered_after_a_charge_shows_it(ann: User) -> None:
    request = request_of(ann)
    template = Template("{% load coreason_budget %}{% budget_remaining as left %}{{ left }}")
    with override_limits(daily_user="10"):
        assert template.render(RequestContext(request)) == "$10.00"
        budget_of(request).charge(cost="4")
        assert template.render(RequestContext(request)) == "$6.00"


def test_tags_with_statuses_ask_nobody(sent: list[str]) -> None:
    assert "$10.00" in bar(account("10"))
    assert left(account("10")) == "$10.00"
    assert sent == []


# What fails.


def test_a_ledger_that_is_down_breaks_no_page_and_is_asked_once(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.CACHES = {"default": django_redis_alias(f"redis://127.0.0.1:{free_port()}/0")}
    asked: list[RequestBudget] = []
    ask: Callable[[RequestBudget], list[AccountStatus]] = RequestBudget.status

    def status(budget: RequestBudget) -> list[AccountStatus]:
        asked.append(budget)
        return ask(budget)

    monkeypatch.setattr(RequestBudget, "status", status)
    html = page_engine().get_template("page.html").render(RequestContext(request_of(AnonymousUser())))
    assert words(html).count("Unknown at the moment") == 3
    assert words(html).count("unknown") == 3
    assert len(asked) == 1


def test_an_async_view_fetches_the_statuses_before(ann: User) -> None:
    request = request_of(ann)
    template = Template("{% load coreason_budget %}{% budget_remaining statuses=statuses as left %}{{ left }}")

    async def view() -> str:
        statuses = await budget_of(request).astatus()
        return template.render(RequestContext(request, {"statuses": statuses}))

    with override_limits(daily_user="10"):
        assert asyncio.run(view()) == "$10.00"


def test_an_async_view_that_did_not_has_its_user_loaded(ann: User) -> None:
    request = request_of(SimpleLazyObject(async_unsafe("no query on a loop")(lambda: ann)))
    template = Template("{% load coreason_budget %}{% budget_remaining %}")

    async def view() -> str:
        return template.render(RequestContext(request))

    with override_limits(daily_user="10"):
        assert words(asyncio.run(view())) == "$10.00"


@async_unsafe("no query on a loop")
def by_query(request: HttpRequest) -> str:
    return "ann"


def test_an_async_view_whose_user_only_a_function_finds_is_told_to(settings: Settings) -> None:
    settings.COREASON_BUDGET = {**settings.COREASON_BUDGET, "USER_ID": f"{__name__}.by_query"}
    request = request_of(AnonymousUser())

    async def view() -> str:
        return Template("{% load coreason_budget %}{% budget_bar %}").render(RequestContext(request))

    with pytest.raises(ImproperlyConfigured, match=r"statuses=statuses, from await request\.budget\.astatus\(\)"):
        asyncio.run(view())
