"""A view that raises: its hold is given back, what it charged stays, and the error is as it was."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import PermissionDenied, SuspiciousOperation
from django.http import Http404
from django.test import RequestFactory

from coreason_budget import ChargeConflictError, UnknownModelError
from coreason_budget.http import budget_of

from .steps import charge, do

if TYPE_CHECKING:
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)

MIDNIGHT = "2030-03-14T00:00:00+00:00"


@pytest.fixture
def request_of_ann(ann: Any) -> Any:
    request = RequestFactory().get("/")
    request.user = ann
    return request


def test_the_error_is_as_it_was(site: Site, ledger: Ledger, ann: Any, request_of_ann: Any) -> None:
    error = LookupError("the model hung up")
    cause = KeyError("why")

    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        raise error from cause

    with pytest.raises(LookupError) as caught:
        site.run(view, request_of_ann)

    assert caught.value is error
    assert (error.args, error.__cause__, error.__context__) == (("the model hung up",), cause, None)
    assert traceback.extract_tb(error.__traceback__)[-1].name == "view"
    assert ledger.of(ann) == ("0", "0")


@pytest.mark.parametrize(
    ("error", "status"),
    [(Http404, 404), (PermissionDenied, 403), (SuspiciousOperation, 400), (ZeroDivisionError, 500)],
)
@pytest.mark.parametrize("middleware", [True, False], ids=["with the middleware", "without it"])
def test_django_answers_it_as_ever(
    native_site: Site, ledger: Ledger, ann: Any, error: type[Exception], status: int, *, middleware: bool
) -> None:
    if not middleware:
        native_site.without_middleware()

    @native_site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        raise error

    assert native_site.get(view, user=ann).status == status
    assert ledger.of(ann) == ("0", "0")


def test_what_was_charged_before_stays(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        yield charge(request, "0.2")
        raise LookupError

    answer = site.get(view, user=ann)

    assert (answer.status, answer.budget) == (500, ("0.2", "0.8", MIDNIGHT))
    assert ledger.of(ann) == ("0.2", "0")


@pytest.mark.parametrize("error", [KeyboardInterrupt, SystemExit, GeneratorExit])
def test_an_end_of_the_process_gives_the_hold_back(
    plain_site: Site, ledger: Ledger, ann: Any, request_of_ann: Any, error: type[BaseException]
) -> None:
    @plain_site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        raise error

    with pytest.raises(error):
        plain_site.run(view, request_of_ann)

    ledger.settled()
    assert ledger.of(ann) == ("0", "0")


@pytest.mark.parametrize(
    ("arguments", "error"),
    [
        ({"cost": "-1"}, ValueError),
        ({"cost": object()}, TypeError),
        ({}, ValueError),
        ({"cost": "1", "response": {}}, ValueError),
        ({"response": {"model": "house"}}, ValueError),
        (
            {"response": {"model": "no-such-model", "usage": {"prompt_tokens": 1, "completion_tokens": 1}}},
            UnknownModelError,
        ),
    ],
)
@pytest.mark.parametrize("decorated", [True, False], ids=["decorated", "bare"])
def test_what_cannot_be_charged_is_an_error_of_the_view(
    native_site: Site,
    ledger: Ledger,
    ann: Any,
    request_of_ann: Any,
    arguments: dict[str, Any],
    error: type[Exception],
    *,
    decorated: bool,
) -> None:
    def body(request: Any) -> Any:
        yield do(budget_of(request), "charge", **arguments)

    view = native_site.budgeted(estimate="0.5")(body) if decorated else native_site.view(body)

    with pytest.raises(error):
        native_site.run(view, request_of_ann)
    assert ledger.of(ann) == ("0", "0")


def test_another_charge_with_the_same_id_is_an_error_of_the_view(
    site: Site, ledger: Ledger, ann: Any, request_of_ann: Any
) -> None:
    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        yield charge(request, "0.2", charge_id="c-1")
        yield charge(request, "0.3", charge_id="c-1")

    with pytest.raises(ChargeConflictError):
        site.run(view, request_of_ann)
    assert ledger.of(ann) == ("0.2", "0")


def test_an_error_while_handling_a_refusal_is_its_own(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        try:
            yield charge(request, "0.2")
        finally:
            raise LookupError("from the view's own end")

    assert site.get(view, user=ann).status == 500
    assert ledger.of(ann) == ("0.2", "0")
