"""A view that held money and charged nothing is told by the log: most likely somebody forgot the charge."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import pytest
from django.http import HttpResponse, StreamingHttpResponse
from django.utils.decorators import method_decorator
from django.views import View

from coreason_budget import budgeted, service

from .steps import call, charge, do

if TYPE_CHECKING:
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

MESSAGE = (
    "{} charged nothing: its hold of 0.5 USD was given back. Call request.budget.charge(response), or do not "
    "decorate it."
)


def forgetful(request: Any) -> Any:
    return HttpResponse("for nothing")


class Forgetful(View):
    def get(self, request: Any) -> Any:
        return HttpResponse("for nothing")


class AsyncForgetful(View):
    async def get(self, request: Any) -> Any:
        return HttpResponse("for nothing")


class Object:
    def __call__(self, request: Any) -> Any:
        return HttpResponse("for nothing")


def test_a_view_that_charged_nothing_is_named(
    site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    assert site.get(site.budgeted(estimate="0.5")(forgetful), user=ann).status == 200

    assert warnings_of_the_app == [MESSAGE.format(f"{__name__}.forgetful")]
    assert ledger.of(ann) == ("0", "0")


@pytest.mark.parametrize("name", ["dispatch", "get"])
@pytest.mark.parametrize("base", [Forgetful, AsyncForgetful], ids=["sync", "async"])
def test_a_class_is_named_by_its_own_name(
    async_site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str], base: type[View], name: str
) -> None:
    @method_decorator(budgeted(estimate="0.5"), name=name)
    class Shop(base):  # type: ignore[valid-type,misc]
        pass

    async_site.get(Shop.as_view(), user=ann)

    shop = "test_a_class_is_named_by_its_own_name.<locals>.Shop"
    assert warnings_of_the_app == [MESSAGE.format(f"{__name__}.{shop}.{name}")]


@pytest.mark.parametrize(
    ("view", "name"),
    [
        (Forgetful.as_view(), "Forgetful"),
        (partial(forgetful), "forgetful"),
        (Object(), "Object"),
        (Forgetful().get, "Forgetful.get"),
    ],
    ids=["as_view", "partial", "object", "method"],
)
def test_whatever_is_called_is_named(
    plain_site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str], view: Any, name: str
) -> None:
    plain_site.get(budgeted(estimate="0.5")(view), user=ann)

    assert warnings_of_the_app == [MESSAGE.format(f"{__name__}.{name}")]


def test_a_function_with_the_name_of_a_method_of_requests_is_named_by_its_own(
    plain_site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    @budgeted(estimate="0.5")
    def read(request: Any) -> Any:
        return HttpResponse()

    plain_site.get(read, user=ann)

    (warning,) = warnings_of_the_app
    assert warning.startswith(f"{__name__}.test_a_function_with")


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
def test_a_stream_that_charged_nothing_is_named(
    site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    def words(request: Any) -> Any:
        yield b"for nothing"

    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        return StreamingHttpResponse(site.stream(words(request)))

    assert site.get(view, user=ann).body == b"for nothing"
    (warning,) = warnings_of_the_app
    assert "view charged nothing" in warning


def test_a_charge_of_any_kind_is_enough(site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]) -> None:
    @site.budgeted(estimate="0.5")
    def nothing(request: Any) -> Any:
        yield charge(request, "0")  # a cached answer costs nothing
        return HttpResponse()

    @site.budgeted(estimate="0.5")
    def repeated(request: Any) -> Any:
        yield charge(request, "0.1", charge_id="same")
        return HttpResponse()

    @site.budgeted(estimate="0.5")
    def by_the_hold(request: Any) -> Any:
        yield do(request.budget.hold, "charge", cost="0.1")
        return HttpResponse()

    for view in (nothing, repeated, repeated, by_the_hold):
        assert site.get(view, user=ann).status == 200
    assert warnings_of_the_app == []
    assert ledger.of(ann) == ("0.2", "0")


def test_a_charge_of_a_call_within_is_enough(
    site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    @site.budgeted(estimate="0.3")
    def inner(request: Any) -> Any:
        yield charge(request)
        return HttpResponse()

    @site.budgeted(estimate="0.5")
    def outer(request: Any) -> Any:
        return (yield call(inner, request))

    site.get(outer, user=ann)

    assert warnings_of_the_app == []


def test_a_charge_before_the_call_is_not_enough(
    site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    inner = site.budgeted(estimate="0.5")(forgetful)

    @site.view
    def outer(request: Any) -> Any:
        yield charge(request)
        return (yield call(inner, request))

    site.get(outer, user=ann)

    assert warnings_of_the_app == [MESSAGE.format(f"{__name__}.forgetful")]


@pytest.mark.parametrize("status", [400, 404, 429, 500, 503])
def test_an_answer_that_is_an_error_need_not_charge(
    native_site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str], status: int
) -> None:
    view = native_site.budgeted(estimate="0.5")(lambda request: HttpResponse(status=status))

    assert native_site.get(view, user=ann).status == status
    assert warnings_of_the_app == []


def test_a_refused_call_within_is_no_forgotten_charge(
    site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    inner = site.budgeted(estimate="2")(forgetful)

    @site.budgeted(estimate="0.5")
    def outer(request: Any) -> Any:
        return (yield call(inner, request))

    assert site.get(outer, user=ann).status == 429
    assert warnings_of_the_app == []


def test_a_view_that_raises_is_not_told(site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]) -> None:
    @site.budgeted(estimate="0.5")
    def broken(request: Any) -> Any:
        raise LookupError

    @site.budgeted(estimate="0.5")
    def greedy(request: Any) -> Any:
        yield do(service, "reserve", ann.pk, amount="2")

    assert [site.get(view, user=ann).status for view in (broken, greedy)] == [500, 429]
    assert warnings_of_the_app == []
