"""Nobody learns anything of anybody else: no id and no figure of another user, a project or the site."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth.models import User
from django.core.cache import caches
from django.http import HttpResponse
from django.views.decorators.cache import cache_control, cache_page

from coreason_budget import service
from coreason_budget.http import budget_of
from coreason_budget.scopes import ANONYMOUS

from .steps import charge, do

if TYPE_CHECKING:
    from .exchange import Answer
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"


@pytest.fixture(params=["application/json", BROWSER], ids=["json", "page"])
def accept(request: pytest.FixtureRequest) -> str:
    """Look at both answers."""
    return str(request.param)


@pytest.fixture
def eve(transactional_db: None) -> Any:
    """Return a user whose id would be noticed."""
    return User.objects.create_user("eve-has-this-name", pk=77_123_451)


def everything(answer: Answer) -> str:
    """Return all that a client receives."""
    return "\n".join([*(f"{name}: {value}" for name, value in answer.headers.items()), answer.text])


def assert_silent(answer: Answer, *secrets: str) -> None:
    assert answer.status == 429
    assert [secret for secret in secrets if secret in everything(answer)] == []


def test_a_project_tells_no_figures(native_site: Site, ledger: Ledger, ann: Any, eve: Any, accept: str) -> None:
    ledger.configure(daily_project_limit_usd="2.7182")
    service.charge(eve.pk, "0.8317", "secret-project")
    hold = service.reserve(eve.pk, "secret-project", amount="0.1234")

    view = native_site.budgeted(estimate="1.7641", project=lambda request: "secret-project")(_never)
    ledger.configure(daily_project_limit_usd="2.7182", daily_user_limit_usd="9")
    answer = native_site.get(view, user=ann, accept=accept)

    # limit, spent, held, what remains, what was asked for, whose project, who spent
    assert_silent(
        answer, "2.7182", "2.72", "0.8317", "0.83", "0.1234", "0.12", "1.7631", "1.76", "secret-project", "77123451"
    )
    hold.release()


def test_the_site_tells_no_figures(native_site: Site, ledger: Ledger, ann: Any, eve: Any, accept: str) -> None:
    ledger.configure(daily_global_limit_usd="2.7182", daily_user_limit_usd="9")
    service.charge(eve.pk, "0.8317")

    view = native_site.budgeted(estimate="1.9641")(_never)
    answer = native_site.get(view, user=ann, accept=accept)

    assert_silent(answer, "2.7182", "2.72", "0.8317", "0.83", "1.8865", "1.88", "1.9641", "1.96", "77123451")


@pytest.mark.parametrize("decorated", [True, False], ids=["decorated", "undecorated"])
def test_the_refusal_of_another_user_tells_no_figures(
    site: Site, ledger: Ledger, ann: Any, eve: Any, accept: str, *, decorated: bool
) -> None:
    service.charge(eve.pk, "0.8317")

    def body(request: Any) -> Any:
        if decorated:
            yield charge(request, "0.0101")
        yield do(service, "reserve", eve.pk, amount="0.6431")

    view = site.budgeted(estimate="0.05")(body) if decorated else site.view(body)
    answer = site.get(view, user=ann, accept=accept)

    assert_silent(answer, "0.8317", "0.83", "0.1683", "0.17", "0.16", "0.6431", "0.64", "77123451", "eve")
    if accept == "application/json":
        assert answer.json["scope"] == "user"
        assert [name for name in answer.json if name.endswith("_usd")] == []


def test_a_visitor_is_not_taken_for_a_user(site: Site, ledger: Ledger, eve: Any, accept: str) -> None:
    service.charge(eve.pk, "0.8317")

    @site.view
    def view(request: Any) -> Any:
        yield do(service, "reserve", eve.pk, amount="0.6431")

    assert_silent(site.get(view, accept=accept), "0.8317", "0.83", "0.1683", "0.17", "0.6431", "77123451")


def test_a_user_is_not_taken_for_the_visitors(site: Site, ledger: Ledger, ann: Any, accept: str) -> None:
    service.charge(ANONYMOUS, "0.8317")

    @site.view
    def view(request: Any) -> Any:
        yield do(service, "reserve", ANONYMOUS, amount="0.6431")

    assert_silent(site.get(view, user=ann, accept=accept), "0.8317", "0.83", "0.1683", "0.17", "0.6431")


@pytest.mark.parametrize("decorated", [True, False], ids=["decorated", "undecorated"])
def test_the_own_figures_are_shown_wherever_the_refusal_was_raised(
    site: Site, ledger: Ledger, ann: Any, *, decorated: bool
) -> None:
    @site.view
    def undecorated(request: Any) -> Any:
        user = (yield do(_user(request), "user")).pk
        yield do(service, "reserve", user, amount="1.6431")

    view = site.budgeted(estimate="1.6431")(_never) if decorated else undecorated
    answer = site.get(view, user=ann)

    assert (answer.json["limit_usd"], answer.json["requested_usd"]) == ("1", "1.6431")
    assert answer.budget[1:] == ("1", "2030-03-14T00:00:00+00:00")


def _user(request: Any) -> Any:
    class Users:
        def user(self) -> Any:
            return request.user

        async def auser(self) -> Any:
            return await request.auser()

    return Users()


def test_hostile_names_are_shown_harmlessly_or_not_at_all(plain_site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(daily_project_limit_usd="0.1")
    view = plain_site.budgeted(estimate="0.5", project="project")(_never)

    answer = plain_site.get(view, "/<script>alert(1)<b>/", route="<path:project>/", user=ann, accept=BROWSER)

    assert_silent(answer, "<script>alert", "alert(1)")


# Answers that a cache keeps


@pytest.fixture
def pages(settings: Any, ledger: Ledger) -> None:
    """Cache answers in memory."""
    backend = {"BACKEND": "django.core.cache.backends.locmem.LocMemCache", "LOCATION": "pages"}
    settings.CACHES = {**settings.CACHES, "pages": backend}
    settings.CACHE_MIDDLEWARE_ALIAS = "pages"
    caches["pages"].clear()
    ledger.configure()


@pytest.fixture
def paying(ledger: Ledger) -> Any:
    """Charge more at every call."""
    costs = iter(["0.1", "0.2", "0.3"])

    def body(request: Any) -> Any:
        yield charge(request, next(costs))
        return HttpResponse("answer")

    return body


@pytest.mark.usefixtures("pages")
def test_a_cached_answer_says_nothing_of_who_paid_for_it(
    site: Site, ledger: Ledger, paying: Any, ann: Any, ben: Any
) -> None:
    view = cache_page(60)(site.budgeted(estimate="0.5")(paying))

    first, second = (site.get(view, user=user) for user in (ann, ben))

    assert (first.body, first.budget[0]) == (b"answer", "0.1")
    assert (second.body, second.budget) == (b"answer", (None, None, None))
    assert (ledger.of(ann), ledger.of(ben)) == (("0.1", "0"), ("0", "0"))


@pytest.mark.usefixtures("pages")
@pytest.mark.parametrize("how", ["by a decorator, without the middleware", "by a middleware around the middleware"])
def test_an_answer_that_says_what_remains_is_cached_by_nobody(
    site: Site, ledger: Ledger, paying: Any, ann: Any, ben: Any, how: str
) -> None:
    view = site.budgeted(estimate="0.5")(paying)
    if "decorator" in how:
        site.without_middleware()
        view = cache_page(60)(view)
    else:
        around = "django.middleware.cache.UpdateCacheMiddleware", "django.middleware.cache.FetchFromCacheMiddleware"
        site.settings.MIDDLEWARE = [around[0], *site.settings.MIDDLEWARE, around[1]]

    first, second = (site.get(view, user=user) for user in (ann, ben))

    assert (first.budget[0], second.budget[0]) == ("0.1", "0.2")
    assert "private" in first.headers["Cache-Control"].split(", ")


@pytest.mark.usefixtures("pages")
def test_a_page_that_shows_how_its_visitor_stands_is_cached_by_nobody(
    site: Site, ledger: Ledger, ann: Any, ben: Any
) -> None:
    service.charge(ann.pk, "0.9")

    def body(request: Any) -> Any:
        accounts = yield do(budget_of(request), "status")
        return HttpResponse(f"{accounts[0].remaining:f}")

    view = cache_page(60)(site.view(body))

    assert [site.get(view, user=user).body for user in (ann, ben)] == [b"0.1", b"1"]


def test_an_answer_for_everybody_becomes_private_when_it_says_what_remains(
    native_site: Site, ledger: Ledger, paying: Any, ann: Any
) -> None:
    view = cache_control(public=True, max_age=60)(native_site.budgeted(estimate="0.5")(paying))

    answer = native_site.get(view, user=ann)

    assert set(answer.headers["Cache-Control"].split(", ")) == {"max-age=60", "private"}


def test_an_answer_that_says_nothing_is_left_alone(native_site: Site, ledger: Ledger, ann: Any) -> None:
    view = cache_control(public=True)(native_site.view(lambda request: HttpResponse()))

    answer = native_site.get(view, user=ann)

    assert (answer.headers["Cache-Control"], answer.budget) == ("public", (None, None, None))


def _never(request: Any, **kwargs: Any) -> Any:
    raise AssertionError("a refused view must not run")
