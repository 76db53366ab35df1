"""The throttle for REST framework, on the real package, in its own renderers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.cache import cache
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.throttling import UserRateThrottle

from coreason_budget import budgeted, service
from coreason_budget.integrations.drf import BudgetThrottle
from coreason_budget.scopes import ANONYMOUS
from tests.http.rest import answer_of
from tests.http.site import Urls
from tests.http.test_references import noted

from .throttled import VIEWS, Ask, ReversedRenderer, break_redis

if TYPE_CHECKING:
    from tests.http.site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)


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
    note = noted(answer.headers["X-Budget-Reference"])
    assert (note.user, note.asked, note.path) == (str(ann.pk), 0, "/")
    assert note.view.rpartition(".")[2] in {"Ask", "ask"}
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
