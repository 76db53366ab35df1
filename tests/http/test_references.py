"""The reference of a refusal: the same in the body, the header and what is noted, with where it was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse

from coreason_budget import service
from coreason_budget.refusals.store import find, newest

from .steps import do

if TYPE_CHECKING:
    from coreason_budget.refusals.notes import Note

    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)


def ask(request: Any, **kwargs: Any) -> Any:
    raise AssertionError("a refused view must not run")


def checks(request: Any) -> Any:
    """Ask for too much inside a view that nobody decorated."""
    yield do(service, "check", "somebody", amount=2)
    return HttpResponse()


def tops_up(request: Any) -> Any:
    """Ask for too much inside a decorated view."""
    yield do(request.budget.hold, "top_up", "2")
    return HttpResponse()


def noted(reference: str) -> Note:
    """Return what is noted under a reference, once it is."""
    budget = service.manager()
    assert budget.guard.refusals.flush(10)
    note = budget.drive(find(budget.ledger, reference))
    assert note is not None
    return note


def test_the_reference_of_the_answer_leads_to_the_decision(site: Site, ledger: Ledger, ann: Any) -> None:
    answer = site.get(site.budgeted(estimate="2")(ask), "/shop/7/?secret=x", route="shop/<int:pk>/", user=ann)

    assert (answer.status, answer.problem["type"]) == (429, "urn:coreason-budget:too-large")
    note = noted(answer.json["reference"])
    assert (note.user, note.asked, note.path) == (str(ann.pk), 2_000_000_000, "/shop/7/")
    assert note.view.endswith("ask")


@pytest.mark.parametrize(
    ("body", "terms", "view"),
    [(checks, None, "checks"), (tops_up, {"estimate": "0.1"}, "tops_up")],
    ids=["in a view of the middleware", "in a decorated view"],
)
def test_where_it_was_asked_is_noted_inside_of_views_too(
    site: Site, ledger: Ledger, ann: Any, body: Any, terms: Any, view: str
) -> None:
    made = site.view(body) if terms is None else site.budgeted(**terms)(body)
    answer = site.get(made, "/shop/", route="shop/", user=ann)

    assert answer.status == 429
    note = noted(answer.json["reference"])
    assert (note.view.rpartition(".")[2], note.path) == (view, "/shop/")


@pytest.mark.parametrize("body", [ask, tops_up])
def test_a_decorated_view_says_where_it_was_asked_without_the_middleware_too(
    site: Site, ledger: Ledger, ann: Any, body: Any
) -> None:
    site.without_middleware()
    estimate = "2" if body is ask else "0.1"

    answer = site.get(site.budgeted(estimate=estimate)(body), "/shop/", route="shop/", user=ann)

    assert answer.status == 429
    note = noted(answer.json["reference"])
    assert (note.view.rpartition(".")[2], note.path) == (body.__name__, "/shop/")


def test_the_page_shows_it_to_browsers(site: Site, ledger: Ledger, ann: Any) -> None:
    answer = site.get(site.budgeted(estimate="2")(ask), user=ann, Accept="text/html")

    reference = answer.headers["X-Budget-Reference"]
    assert f'Reference for administrators <strong dir="ltr">{reference}</strong>' in answer.text


def test_a_blocked_visitor_is_given_one_too(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(daily_user_limit_usd="0")

    answer = site.get(site.budgeted(estimate="2")(ask), user=ann, Accept="text/html")

    assert (answer.status, "Retry-After" in answer.headers) == (429, False)
    assert f'<strong dir="ltr">{answer.headers["X-Budget-Reference"]}</strong>' in answer.text


def test_none_is_shown_where_none_is_kept(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure(refusals_kept=0)
    view = site.budgeted(estimate="2")(ask)

    page, answer = site.get(view, user=ann, Accept="text/html"), site.get(view, user=ann)

    assert "Reference" not in page.text
    assert "X-Budget-Reference" not in {*page.headers, *answer.headers}
    assert not {"reference", "instance"} & set(answer.json)


def test_an_answer_that_is_no_refusal_has_none(site: Site, ledger: Ledger, ann: Any) -> None:
    def answers(request: Any) -> Any:
        yield do(request.budget, "charge", cost="0.1")
        return HttpResponse("42")

    answer = site.get(site.budgeted(estimate="0.5")(answers), user=ann)

    assert answer.status == 200
    assert "X-Budget-Reference" not in answer.headers
    assert service.manager().guard.refusals.flush(10)
    assert service.manager().drive(newest(service.manager().ledger, 10)) == []
