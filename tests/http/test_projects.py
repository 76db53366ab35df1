"""For which project a call is: a keyword of the URL, a function of the request, or what PROJECT_ID says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse

from coreason_budget import budgeted
from coreason_budget.models import ProjectLimit, SpendRecord

from .steps import charge, do

if TYPE_CHECKING:
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

HERE = f"{__name__}."


def paying(request: Any, **kwargs: Any) -> Any:
    yield charge(request)
    return HttpResponse()


def of_project(ledger: Ledger, user: Any, project: str) -> str:
    """Return what a project has spent; nothing may be held any more."""
    spent, held = ledger.of(user, project, scope="project")
    assert held == "0"
    return spent


@pytest.mark.parametrize(
    ("route", "at", "project"),
    [
        ("<slug:project>/", "/apollo-11/", "apollo-11"),
        ("<int:project>/", "/7/", "7"),
        ("<uuid:project>/", "/6b1f0a3e-3f0a-4b7e-9d0c-5f1f3d9a7c11/", "6b1f0a3e-3f0a-4b7e-9d0c-5f1f3d9a7c11"),
        ("<path:project>/", "/a/b:c/", "a/b:c"),
        ("<int:project>/", "/0/", "0"),
        ("<project>/", "/Größe/", "Größe"),
    ],
)
def test_a_keyword_of_the_url_is_the_project(
    native_site: Site, ledger: Ledger, ann: Any, route: str, at: str, project: str
) -> None:
    view = native_site.budgeted(project="project", estimate="0.5")(paying)

    assert native_site.get(view, at, route=route, user=ann).status == 200

    assert of_project(ledger, ann, project) == "0.2"
    assert ledger.of(ann) == ("0.2", "0")
    ledger.settled()
    assert SpendRecord.objects.get().project_id == project


def test_a_keyword_that_the_url_has_not_is_an_error_that_names_it(
    site: Site, ledger: Ledger, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    view = site.budgeted(project="project")(paying)

    assert site.get(view, "/7/", route="<int:pk>/", user=ann).status == 500
    assert "ImproperlyConfigured: project='project': the URL of this view has no keyword" in caplog.text
    assert "(it has: 'pk')" in caplog.text
    assert ledger.of(ann) == ("0", "0")


def plain(request: Any, project: str) -> str:
    return f"{request.method}-{project}"


async def asynchronous(request: Any, project: str) -> str:
    return plain(request, project)


def querying(request: Any, project: str) -> str:
    return f"GET-{ProjectLimit.objects.get(pk=project).project_id}"


class Callable:
    async def __call__(self, request: Any, project: str) -> str:
        return plain(request, project)


@pytest.mark.parametrize("function", [plain, asynchronous, Callable()], ids=["plain", "async", "object"])
def test_a_function_of_the_request_says_the_project(site: Site, ledger: Ledger, ann: Any, function: Any) -> None:
    view = site.budgeted(project=function)(paying)

    assert site.get(view, "/apollo/", route="<project>/", user=ann).status == 200
    assert of_project(ledger, ann, "GET-apollo") == "0.2"


def test_that_function_may_query_the_database(site: Site, ledger: Ledger, ann: Any) -> None:
    limit = ProjectLimit.objects.create(project_id="apollo", period="day", amount_usd="1")
    view = site.budgeted(project=querying)(paying)

    assert site.get(view, f"/{limit.pk}/", route="<project>/", user=ann).status == 200
    assert of_project(ledger, ann, "GET-apollo") == "0.2"


@pytest.mark.parametrize("nothing", [None, ""])
def test_nothing_is_no_project(native_site: Site, ledger: Ledger, ann: Any, nothing: str | None) -> None:
    @native_site.budgeted(project=lambda request: nothing)
    def view(request: Any) -> Any:
        yield charge(request)
        accounts = yield do(request.budget, "status")
        return HttpResponse(" ".join(item.scope for item in accounts))

    assert native_site.get(view, user=ann).body == b"user global"
    ledger.settled()
    assert SpendRecord.objects.get().project_id == ""


@pytest.mark.parametrize(
    "bad", ["\x00", "a\rb", "\x1b[31m", "x" * 201, "   ", "\u2028"], ids=["nul", "line", "esc", "long", "blank", "sep"]
)
def test_an_id_of_the_url_that_cannot_be_one_is_a_bad_request(
    native_site: Site, ledger: Ledger, ann: Any, bad: str
) -> None:
    ran: list[Any] = []

    @native_site.budgeted(project="project")
    def view(request: Any, project: str) -> Any:
        ran.append(project)
        return HttpResponse()

    assert native_site.get(view, f"/{bad}/", route="<path:project>/", user=ann).status == 400
    assert ran == []
    assert ledger.of(ann) == ("0", "0")


def test_what_is_no_id_at_all_is_an_error_of_the_project(
    site: Site, ledger: Ledger, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    view = site.budgeted(project=lambda request: object())(paying)

    assert site.get(view, user=ann).status == 500
    assert "TypeError: project must be a str, int or UUID, not object" in caplog.text


def test_a_project_that_has_spent_it_all_stops_its_users(site: Site, ledger: Ledger, ann: Any, ben: Any) -> None:
    ledger.configure(daily_project_limit_usd="0.7")
    view = site.budgeted(project="project", estimate="0.5")(paying)
    calls = [(ann, "apollo"), (ben, "apollo"), (ann, "apollo"), (ann, "gemini")]

    answers = [site.get(view, f"/{project}/", route="<project>/", user=user) for user, project in calls]

    assert [answer.status for answer in answers] == [200, 200, 429, 200]
    assert answers[2].json["scope"] == "project"


@pytest.mark.parametrize(
    ("bad", "error"),
    [(7, TypeError), (b"project", TypeError), ("", ValueError)],
)
def test_a_bad_project_is_refused_where_it_is_written(bad: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="project must be the name of a URL keyword"):
        budgeted(project=bad)


# PROJECT_ID


def by_host(request: Any) -> str:
    return f"host-{request.headers['X-Tenant']}"


async def by_host_async(request: Any) -> str:
    return by_host(request)


def by_row(request: Any) -> str:
    return ProjectLimit.objects.get(project_id=request.headers["X-Tenant"]).project_id


def none(request: Any) -> None:
    return None


@pytest.fixture(params=["decorated", "bare"])
def view(request: pytest.FixtureRequest, site: Site) -> Any:
    """Charge on a hold of the decorator, and without any."""
    return site.budgeted(estimate="0.5")(paying) if request.param == "decorated" else site.view(paying)


@pytest.mark.parametrize("path", ["by_host", "by_host_async"])
def test_a_function_may_say_the_project_of_every_call(
    site: Site, ledger: Ledger, view: Any, ann: Any, path: str
) -> None:
    ledger.configure(project_id=HERE + path)

    assert site.get(view, user=ann, X_Tenant="acme").status == 200
    assert of_project(ledger, ann, "host-acme") == "0.2"


def test_the_function_of_every_call_may_query_the_database(site: Site, ledger: Ledger, view: Any, ann: Any) -> None:
    ledger.configure(project_id=f"{HERE}by_row")
    ProjectLimit.objects.create(project_id="acme", period="day", amount_usd="2")

    assert site.get(view, user=ann, X_Tenant="acme").status == 200
    assert of_project(ledger, ann, "acme") == "0.2"


def test_none_of_it_is_no_project(site: Site, ledger: Ledger, view: Any, ann: Any) -> None:
    ledger.configure(project_id=f"{HERE}none")

    assert site.get(view, user=ann).status == 200
    ledger.settled()
    assert SpendRecord.objects.get().project_id == ""


def test_an_id_of_it_that_cannot_be_one_is_a_bad_request(site: Site, ledger: Ledger, view: Any, ann: Any) -> None:
    ledger.configure(project_id=f"{HERE}by_host")

    assert site.get(view, user=ann, X_Tenant="x" * 300).status == 400
    assert ledger.of(ann) == ("0", "0")


def test_what_the_decorator_says_goes_before_it(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(project_id=f"{HERE}by_host")
    view = site.budgeted(project="project", estimate="0.5")(paying)

    answer = site.get(view, "/apollo/", route="<project>/", user=ann, X_Tenant="acme")

    assert answer.status == 200
    assert (of_project(ledger, ann, "apollo"), of_project(ledger, ann, "host-acme")) == ("0.2", "0")


def test_it_is_not_asked_when_a_call_for_another_project_is_refused(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(project_id=f"{HERE}by_host", daily_project_limit_usd="0.1")
    view = site.budgeted(project="project", estimate="0.5")(paying)

    answer = site.get(view, "/apollo/", route="<project>/", user=ann)  # by_host would fail without its header

    assert (answer.status, answer.budget[1]) == (429, "1")


def test_a_charge_within_a_call_is_for_the_project_of_the_call(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(project="project", estimate="0.5")
    def view(request: Any, project: str) -> Any:
        yield charge(request, "0.2")
        yield charge(request, "0.1")
        return HttpResponse()

    assert site.get(view, "/apollo/", route="<project>/", user=ann).status == 200
    assert of_project(ledger, ann, "apollo") == "0.3"
