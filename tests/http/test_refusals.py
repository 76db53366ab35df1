"""The 429: a body after RFC 9457, and how long to wait, to the second."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse

from coreason_budget import BudgetExceededError, service
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit
from coreason_budget.scopes import ANONYMOUS

from .steps import charge, do

if TYPE_CHECKING:
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

MIDNIGHT = "2030-03-14T00:00:00+00:00"


def never(request: Any, **kwargs: Any) -> Any:
    raise AssertionError("a refused view must not run")


@pytest.fixture(params=["with the middleware", "without it"])
def either_way(request: pytest.FixtureRequest, settings: Any) -> None:
    """Have every answer be the same without the middleware."""
    if request.param == "without it":
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "coreason_budget" not in name]


@pytest.mark.usefixtures("either_way")
def test_a_user_without_room_is_told_the_own_figures(site: Site, ledger: Ledger, ann: Any) -> None:
    service.charge(ann.pk, "0.7")

    answer = site.get(site.budgeted(estimate="0.5")(never), user=ann)

    assert answer.status == 429
    assert answer.problem == {
        "type": "urn:coreason-budget:exceeded",
        "status": 429,
        "title": "Budget used up",
        "detail": "Your budget for today does not cover this request.",
        "scope": "user",
        "period": "day",
        "resets_at": MIDNIGHT,
        "retry_after": 43_200,
        "limit_usd": "1",
        "spent_usd": "0.7",
        "held_usd": "0",
        "remaining_usd": "0.3",
        "requested_usd": "0.5",
    }
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.headers["Retry-After"] == "43200"
    assert answer.budget == ("0", "0.3", MIDNIGHT)
    assert ledger.of(ann) == ("0.7", "0")


@pytest.mark.usefixtures("either_way")
def test_a_project_without_room_is_named_without_figures(site: Site, ledger: Ledger, ann: Any, ben: Any) -> None:
    service.charge(ben.pk, "2.9", "apollo")

    view = site.budgeted(estimate="0.5", project="project")(never)
    answer = site.get(view, "/apollo/", route="<project>/", user=ann)

    assert answer.status == 429
    assert answer.problem == {
        "type": "urn:coreason-budget:exceeded",
        "status": 429,
        "title": "Budget used up",
        "detail": "The budget of this project for today does not cover this request.",
        "scope": "project",
        "period": "day",
        "resets_at": MIDNIGHT,
        "retry_after": 43_200,
    }
    assert answer.headers["Retry-After"] == "43200"
    assert answer.budget == ("0", "1", MIDNIGHT)  # of the user, who has spent nothing


@pytest.mark.usefixtures("either_way")
def test_a_site_without_room_is_named_without_figures(site: Site, ledger: Ledger, ann: Any, ben: Any) -> None:
    ledger.configure(daily_global_limit_usd="0.9")
    service.charge(ben.pk, "0.6")

    answer = site.get(site.budgeted(estimate="0.5")(never), user=ann)

    assert answer.status == 429
    assert answer.problem == {
        "type": "urn:coreason-budget:exceeded",
        "status": 429,
        "title": "Budget used up",
        "detail": "The budget of this site for today does not cover this request.",
        "scope": "global",
        "period": "day",
        "resets_at": MIDNIGHT,
        "retry_after": 43_200,
    }
    assert answer.budget == ("0", "1", MIDNIGHT)


@pytest.mark.parametrize(
    ("scope", "whose", "own"),
    [
        ("user", "Your budget", True),
        ("project", "The budget of this project", False),
        ("global", "The budget of this site", False),
    ],
)
def test_where_waiting_does_not_help_nobody_is_told_to_wait(
    native_site: Site, ledger: Ledger, ann: Any, scope: str, whose: str, *, own: bool
) -> None:
    row: Any = {
        "user": lambda: UserLimit(user=ann, period="day", amount_usd=0),
        "project": lambda: ProjectLimit(project_id="apollo", period="day", amount_usd=0),
        "global": lambda: GlobalLimit(period="day", amount_usd=0),
    }[scope]()
    row.save()

    view = native_site.budgeted(estimate="0.5", project=lambda request: "apollo")(never)
    answer = native_site.get(view, user=ann)

    figures = (
        {"limit_usd": "0", "spent_usd": "0", "held_usd": "0", "remaining_usd": "0", "requested_usd": "0.5"}
        if own
        else {}
    )
    assert answer.status == 429
    assert answer.problem == {
        "type": "urn:coreason-budget:blocked",
        "status": 429,
        "title": "Budget blocked",
        "detail": f"{whose} is blocked, so this request was not carried out. "
        "Waiting does not help here: please ask an administrator.",
        "scope": scope,
        "period": "day",
        "resets_at": MIDNIGHT,
        **figures,
    }
    assert "Retry-After" not in answer.headers
    assert answer.budget == ("0", "0" if own else "1", MIDNIGHT)


@pytest.mark.parametrize(
    ("now", "seconds"),
    [
        ("2030-03-13T12:00:00+00:00", 43_200),
        ("2030-03-13T12:00:00.001+00:00", 43_200),
        ("2030-03-13T12:00:00.999+00:00", 43_200),
        ("2030-03-13T12:00:01+00:00", 43_199),
        ("2030-03-13T23:59:58.500+00:00", 2),
        ("2030-03-13T23:59:59.999+00:00", 1),
        ("2030-03-14T00:00:00+00:00", 86_400),
    ],
)
def test_the_wait_is_right_to_the_second(native_site: Site, ledger: Ledger, ann: Any, now: str, seconds: int) -> None:
    ledger.clock.set(now)

    answer = native_site.get(native_site.budgeted(estimate="1.5")(never), user=ann)

    assert (answer.headers["Retry-After"], answer.json["retry_after"]) == (str(seconds), seconds)


def test_who_waits_that_long_gets_in(native_site: Site, ledger: Ledger, ann: Any) -> None:
    service.charge(ann.pk, "1")

    @native_site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        yield charge(request)
        return HttpResponse()

    wait = int(native_site.get(view, user=ann).headers["Retry-After"])
    ledger.clock.move(seconds=wait - 1)
    assert native_site.get(view, user=ann).headers["Retry-After"] == "1"
    ledger.clock.move(seconds=1)
    assert native_site.get(view, user=ann).status == 200


@pytest.mark.parametrize(
    ("limits", "period", "resets_at", "seconds"),
    [
        ({"weekly_user_limit_usd": "0.4"}, "week", "2030-03-18T00:00:00+00:00", 388_800),
        ({"monthly_user_limit_usd": "0.4"}, "month", "2030-04-01T00:00:00+00:00", 1_598_400),
        (
            {"daily_user_limit_usd": "0.4", "monthly_user_limit_usd": "0.4"},  # to wait for the day would not help
            "month",
            "2030-04-01T00:00:00+00:00",
            1_598_400,
        ),
    ],
)
def test_longer_periods_are_named(
    native_site: Site, ledger: Ledger, ann: Any, limits: dict[str, str], period: str, resets_at: str, seconds: int
) -> None:
    ledger.configure(**limits)
    service.charge(ann.pk, "0.1")

    answer = native_site.get(native_site.budgeted(estimate="0.4")(never), user=ann)

    assert (answer.json["period"], answer.json["resets_at"]) == (period, resets_at)
    assert answer.json["detail"] == f"Your budget for this {period} does not cover this request."
    assert answer.headers["Retry-After"] == str(seconds)
    assert answer.budget == ("0", "0.3", resets_at)


def test_the_reset_is_that_of_the_time_zone(native_site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(time_zone="Asia/Kathmandu")  # +05:45

    answer = native_site.get(native_site.budgeted(estimate="1.5")(never), user=ann)

    assert answer.json["resets_at"] == "2030-03-13T18:15:00+00:00"
    assert answer.headers["Retry-After"] == "22500"
    assert answer.headers["X-Budget-Reset"] == "2030-03-13T18:15:00+00:00"


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "PUT", "DELETE"])
def test_every_method_is_refused_alike(native_site: Site, ledger: Ledger, ann: Any, method: str) -> None:
    view = native_site.budgeted(estimate="1.5")(never)
    view.csrf_exempt = True

    answer = native_site.get(view, method=method, user=ann)

    assert (answer.status, answer.headers["Retry-After"]) == (429, "43200")
    assert answer.headers["Content-Type"] == "application/problem+json"


def test_what_may_be_asked_is_told_without_a_budget(native_site: Site, ledger: Ledger, ann: Any) -> None:
    service.charge(ann.pk, "1")

    view = native_site.budgeted(estimate="0.5")(lambda request: HttpResponse(headers={"Allow": "GET"}))

    assert native_site.get(view, method="OPTIONS", user=ann).headers["Allow"] == "GET"
    assert native_site.get(view, user=ann).status == 429


def test_visitors_who_are_not_logged_in_are_refused_too(native_site: Site, ledger: Ledger) -> None:
    service.charge(ANONYMOUS, "0.9")

    answer = native_site.get(native_site.budgeted(estimate="0.5")(never))

    assert (answer.status, answer.json["scope"], answer.headers["Retry-After"]) == (429, "user", "43200")


def test_an_answer_is_kept_by_nobody_and_depends_on_accept(native_site: Site, ledger: Ledger, ann: Any) -> None:
    answer = native_site.get(native_site.budgeted(estimate="1.5")(never), user=ann)

    assert answer.headers["Cache-Control"] == "max-age=0, no-cache, no-store, must-revalidate, private"
    assert "Accept" in answer.headers["Vary"].split(", ")


@pytest.mark.usefixtures("either_way")
def test_a_refusal_inside_a_decorated_view_is_answered_alike(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(estimate="0.4")
    def view(request: Any) -> Any:
        yield charge(request, "0.1")
        yield do(service, "reserve", ann.pk, amount="0.7")
        never(request)

    answer = site.get(view, user=ann)

    assert (answer.status, answer.headers["Retry-After"]) == (429, "43200")
    assert (answer.json["spent_usd"], answer.json["remaining_usd"]) == ("0.1", "0.6")  # as it stood when it was asked
    assert answer.budget == ("0.1", "0.9", MIDNIGHT)  # and with what the hold gave back
    assert ledger.of(ann) == ("0.1", "0")


def test_a_view_may_deal_with_a_refusal_itself(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(estimate="0.4")
    def view(request: Any) -> Any:
        try:
            yield do(service, "reserve", ann.pk, amount="2")
        except BudgetExceededError as error:
            yield charge(request, "0.1")
            return HttpResponse(type(error).__name__)

    answer = site.get(view, user=ann)

    assert (answer.status, answer.body) == (200, b"BudgetExceededError")
    assert answer.budget == ("0.1", "0.9", MIDNIGHT)
