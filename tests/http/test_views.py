"""What a decorated view does with money, whatever kind of view it is and whatever serves it."""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import iscoroutinefunction
from django.contrib.auth.decorators import login_required
from django.db import transaction
from django.http import HttpResponse
from django.test import RequestFactory
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

from coreason_budget import budgeted
from coreason_budget.models import SpendRecord

from .steps import charge

if TYPE_CHECKING:
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)


def paying(request: Any, **kwargs: Any) -> Any:
    """Charge twenty cents."""
    yield charge(request, "0.2")
    return HttpResponse(request.budget.hold.amount)


def test_a_call_is_held_while_it_lasts_and_charged_for_what_it_cost(site: Site, ledger: Ledger, ann: Any) -> None:
    during: list[Any] = []

    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        during.append(ledger.of(ann))
        yield charge(request, "0.2", model="gpt")
        return HttpResponse("answer")

    answer = site.get(view, user=ann)

    assert (answer.status, answer.body) == (200, b"answer")
    assert during == [("0", "0.5")]
    assert ledger.of(ann) == ("0.2", "0")
    ledger.settled()
    (record,) = SpendRecord.objects.all()
    assert (record.user_id, record.model, record.cost_nanos) == (str(ann.pk), "gpt", 200_000_000)


@pytest.mark.usefixtures("real_store")
def test_it_is_the_same_on_a_real_server(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure()
    view = site.budgeted(estimate="0.5")(paying)

    answers = [site.get(view, user=ann) for _ in range(4)]

    assert [answer.status for answer in answers] == [200, 200, 200, 429]  # 0.4 are left of a dollar
    assert [answer.budget[1] for answer in answers] == ["0.8", "0.6", "0.4", "0.4"]
    assert ledger.of(ann) == ("0.6", "0")


def test_the_decorator_needs_no_parentheses(site: Site, ledger: Ledger, ann: Any) -> None:
    answer = site.get(budgeted(site.view(paying)), user=ann)

    assert (answer.status, answer.body) == (200, b"0.05")  # DEFAULT_HOLD_USD
    assert ledger.of(ann) == ("0.2", "0")


def test_it_works_without_the_middleware(site: Site, ledger: Ledger, ann: Any) -> None:
    site.without_middleware()
    view = site.budgeted(estimate="0.9")(paying)

    assert [site.get(view, user=ann).status for _ in range(2)] == [200, 429]
    assert ledger.of(ann) == ("0.2", "0")


def test_methods_are_decorated_where_they_stand(site: Site, ledger: Ledger, ann: Any) -> None:
    class Shop:
        @site.budgeted(estimate="0.5")
        def buy(self, request: Any) -> Any:
            yield charge(request)
            return HttpResponse(type(self).__name__)

    answer = site.get(Shop().buy, user=ann)

    assert (answer.status, answer.body) == (200, b"Shop")
    assert ledger.of(ann) == ("0.2", "0")


def test_the_request_may_be_a_keyword(site: Site, ledger: Ledger, ann: Any) -> None:
    inner = site.budgeted(estimate=lambda request, project: "0.3", project=lambda request, project: project)(paying)

    def outer(request: Any) -> Any:
        return inner(request=request, project="apollo")

    answer = site.get(as_view_of(site, outer), user=ann)

    assert (answer.status, answer.body) == (200, b"0.3")
    assert ledger.of(ann, "apollo", scope="project") == ("0.2", "0")


def as_view_of(site: Site, function: Any) -> Any:
    """Return a function as a view, which is awaited where the site's views are."""
    if not site.is_async:
        return function

    async def view(request: Any) -> Any:
        return await function(request)

    return view


def test_partial_functions_are_views(site: Site, ledger: Ledger, ann: Any) -> None:
    def body(request: Any, cost: str) -> Any:
        yield charge(request, cost)
        return HttpResponse()

    view = budgeted(estimate="0.5")(functools.partial(site.view(body), cost="0.4"))

    assert site.get(view, user=ann).status == 200
    assert ledger.of(ann) == ("0.4", "0")


def test_callable_objects_are_views(site: Site, ledger: Ledger, ann: Any) -> None:
    class Buyer:
        __call__ = site.view(lambda self, request: paying(request))

    assert site.get(budgeted(estimate="0.5")(Buyer()), user=ann).body == b"0.5"
    assert ledger.of(ann) == ("0.2", "0")


def test_what_as_view_returns_is_a_view(site: Site, ledger: Ledger, ann: Any) -> None:
    class Buyer(View):
        get = site.view(lambda self, request: paying(request))

    view: Any = budgeted(estimate="0.5")(Buyer.as_view())

    assert view.view_class is Buyer
    assert iscoroutinefunction(view) == site.is_async
    assert site.get(view, user=ann).body == b"0.5"
    assert ledger.of(ann) == ("0.2", "0")


def test_a_decorated_view_looks_like_the_view(site: Site) -> None:
    view = csrf_exempt(site.view(paying))
    decorated = budgeted(estimate="0.5")(view)

    assert (decorated.__name__, decorated.__doc__) == ("paying", "Charge twenty cents.")
    assert decorated.__module__ == __name__
    assert inspect.unwrap(decorated) is paying
    assert decorated.csrf_exempt is True
    assert iscoroutinefunction(decorated) == site.is_async


def test_other_decorators_may_stand_around_it(site: Site, ledger: Ledger, ann: Any) -> None:
    view = csrf_exempt(login_required(require_POST(site.budgeted(estimate="0.5")(paying))))

    assert site.get(view, method="POST", user=ann).status == 200
    assert site.get(view, method="GET", user=ann).status == 405
    assert site.get(view, method="POST").status == 302
    assert ledger.of(ann) == ("0.2", "0")
    assert view.csrf_exempt is True


def test_other_decorators_may_stand_below_it(site: Site, ledger: Ledger, ann: Any) -> None:
    view = budgeted(estimate="0.5")(csrf_exempt(require_POST(site.view(paying))))

    assert site.get(view, method="POST", user=ann).status == 200
    assert site.get(view, method="GET", user=ann).status == 405
    assert ledger.of(ann) == ("0.2", "0")
    assert view.csrf_exempt is True


@pytest.mark.parametrize("order", ["around", "inside"])
def test_a_transaction_around_or_inside_does_not_hold_a_charge_up(
    plain_site: Site, ledger: Ledger, ann: Any, order: str
) -> None:
    def body(request: Any) -> Any:
        request.budget.charge(cost="0.2")
        ann.first_name = "Ann"
        ann.save()
        return HttpResponse(order)

    around = order == "around"
    view = transaction.atomic(budgeted(body)) if around else budgeted(transaction.atomic(body))

    assert plain_site.get(view, user=ann).body == order.encode()
    ledger.settled()
    assert SpendRecord.objects.count() == 1
    ann.refresh_from_db()
    assert ann.first_name == "Ann"


def test_what_is_no_response_is_passed_on_as_it_is(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(estimate="0.5")
    def summarise(request: Any, text: str) -> Any:
        yield charge(request)
        return {"summary": text}

    request = RequestFactory().get("/")
    request.user = ann

    assert site.run(summarise, request, "short") == {"summary": "short"}
    assert ledger.of(ann) == ("0.2", "0")


@pytest.mark.parametrize("bad", ["0.05", 3, object()])
def test_only_views_are_decorated(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"@budgeted decorates a view, not .*; its options are keywords\."):
        budgeted(bad)


def test_a_class_is_not_decorated() -> None:
    class Shop(View):
        pass

    with pytest.raises(TypeError, match=r"cannot decorate the class .*Shop: use @method_decorator\(budgeted"):
        budgeted(estimate="0.5")(Shop)


def test_a_view_without_a_request_is_told_what_is_missing(site: Site) -> None:
    view = site.budgeted(estimate="0.5")(paying)

    with pytest.raises(TypeError, match=r"test_views\.paying was called without a request as its first argument"):
        site.run(view, "no request")
