"""The X-Budget headers: what a request cost, and what its user has left when the answer goes out."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse, JsonResponse
from django.template.response import TemplateResponse

from coreason_budget import service
from coreason_budget.http import budget_of
from coreason_budget.models import UserLimit

from .steps import call, charge, do

if TYPE_CHECKING:
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

MIDNIGHT = "2030-03-14T00:00:00+00:00"
EASTER = "2030-04-01T00:00:00+00:00"  # the month's end


@pytest.fixture(params=["with the middleware", "without it"])
def either_way(request: pytest.FixtureRequest, settings: Any) -> None:
    """Have every answer be the same without the middleware."""
    if request.param == "without it":
        settings.MIDDLEWARE = [name for name in settings.MIDDLEWARE if "coreason_budget" not in name]


def paying(request: Any) -> Any:
    yield charge(request)
    return HttpResponse()


@pytest.mark.usefixtures("either_way")
def test_what_remains_counts_what_the_hold_gave_back(site: Site, ledger: Ledger, ann: Any) -> None:
    answer = site.get(site.budgeted(estimate="0.9")(paying), user=ann)

    assert answer.budget == ("0.2", "0.8", MIDNIGHT)


@pytest.mark.usefixtures("either_way")
def test_what_others_of_the_user_hold_does_not_remain(site: Site, ledger: Ledger, ann: Any) -> None:
    service.reserve(ann.pk, amount="0.3")

    assert site.get(site.budgeted(estimate="0.5")(paying), user=ann).budget == ("0.2", "0.5", MIDNIGHT)


@pytest.mark.usefixtures("either_way")
def test_charges_of_a_request_are_summed(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        yield charge(request, "0.2")
        yield charge(request, "0.000000001", charge_id="c-1")
        yield charge(request, "0.000000001", charge_id="c-1")  # the same one again
        return HttpResponse(f"{request.budget.cost:f}")

    answer = site.get(view, user=ann)

    assert answer.body == b"0.200000001"
    assert answer.budget == ("0.200000001", "0.799999999", MIDNIGHT)


@pytest.mark.usefixtures("either_way")
def test_an_answer_that_cost_nothing_says_so(site: Site, ledger: Ledger, ann: Any) -> None:
    view = site.budgeted(estimate="0.5")(lambda request: HttpResponse())

    assert site.get(view, user=ann).budget == ("0", "1", MIDNIGHT)


@pytest.mark.usefixtures("either_way")
def test_a_charge_that_ends_the_hold_is_exact_too(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(estimate="0.9")
    def view(request: Any) -> Any:
        yield charge(request, "0.2", final=True)
        return HttpResponse()

    assert site.get(view, user=ann).budget == ("0.2", "0.8", MIDNIGHT)


def test_more_than_was_held_leaves_nothing_and_not_less(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(estimate="0.1")
    def view(request: Any) -> Any:
        yield charge(request, "1.5")
        return HttpResponse()

    assert site.get(view, user=ann).budget == ("1.5", "0", MIDNIGHT)


def test_the_tightest_period_counts(native_site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(daily_user_limit_usd="0.9", monthly_user_limit_usd="0.7", weekly_user_limit_usd="0.8")

    answer = native_site.get(native_site.budgeted(estimate="0.5")(paying), user=ann)

    assert answer.budget == ("0.2", "0.5", EASTER)


def test_a_project_or_the_site_does_not_count(native_site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(daily_project_limit_usd="0.6", daily_global_limit_usd="0.7")
    view = native_site.budgeted(estimate="0.5", project=lambda request: "apollo")(paying)

    assert native_site.get(view, user=ann).budget == ("0.2", "0.8", MIDNIGHT)


def test_a_user_without_any_limit_is_told_the_cost_only(native_site: Site, ledger: Ledger, ann: Any) -> None:
    UserLimit.objects.create(user=ann, period="day", amount_usd=None)

    assert native_site.get(native_site.budgeted(estimate="50")(paying), user=ann).budget == ("0.2", None, None)


def test_a_visitor_is_told_too(site: Site, ledger: Ledger) -> None:
    assert site.get(site.budgeted(estimate="0.5")(paying)).budget == ("0.2", "0.8", MIDNIGHT)


@pytest.mark.usefixtures("either_way")
@pytest.mark.parametrize("status", [201, 404, 500])
def test_every_status_has_them(native_site: Site, ledger: Ledger, ann: Any, status: int) -> None:
    @native_site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        yield charge(request)
        return JsonResponse({}, status=status)

    answer = native_site.get(view, user=ann)

    assert (answer.status, answer.budget) == (status, ("0.2", "0.8", MIDNIGHT))


def test_a_template_that_is_rendered_later_has_them(
    site: Site, ledger: Ledger, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        yield charge(request)
        return TemplateResponse(request, "coreason_budget/503.html", {"problem": {"title": "Later"}})

    answer = site.get(view, user=ann)

    assert answer.budget == ("0.2", "0.8", MIDNIGHT)
    assert "Later" in answer.text


@pytest.mark.usefixtures("either_way")
def test_the_headers_are_those_of_the_whole_request(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(estimate="0.3")
    def inner(request: Any) -> Any:
        yield charge(request, "0.1")
        return HttpResponse()

    @site.view
    def view(request: Any) -> Any:
        yield call(inner, request)
        yield do(budget_of(request), "charge", cost="0.2")
        return (yield call(inner, request))

    answer = site.get(view, user=ann)

    assert answer.budget == ("0.4", "0.6", MIDNIGHT)


def test_a_bare_charge_has_them_with_the_middleware(site: Site, ledger: Ledger, ann: Any) -> None:
    assert site.get(site.view(paying), user=ann).budget == ("0.2", "0.8", MIDNIGHT)


def test_who_only_looks_at_the_budget_has_not_used_it(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.view
    def view(request: Any) -> Any:
        yield do(request.budget, "status")
        return HttpResponse(f"{request.budget!r} {request.budget.cost} {request.budget.hold}")

    answer = site.get(view, user=ann)

    assert answer.body == b"<RequestBudget: 0 USD> 0 None"
    assert answer.budget == (None, None, None)


@pytest.mark.usefixtures("either_way")
def test_a_refusal_after_a_charge_tells_both(site: Site, ledger: Ledger, ann: Any) -> None:
    inner = site.budgeted(estimate="0.9")(paying)

    @site.view
    def view(request: Any) -> Any:
        first = yield call(inner, request)
        service.charge(ann.pk, "0.3")  # somebody else, meanwhile
        second = yield call(inner, request)
        assert first.status_code == 200
        return second

    answer = site.get(view, user=ann)

    assert (answer.status, answer.json["remaining_usd"]) == (429, "0.5")
    assert answer.budget == ("0.2", "0.5", MIDNIGHT)


def test_a_refusal_that_the_view_does_not_pass_on_leaves_no_headers(site: Site, ledger: Ledger, ann: Any) -> None:
    inner = site.budgeted(estimate="1.9")(paying)

    @site.view
    def view(request: Any) -> Any:
        response = yield call(inner, request)
        return HttpResponse(str(response.status_code))

    answer = site.get(view, user=ann)

    assert (answer.body, answer.budget) == (b"429", (None, None, None))
