"""Errors in the handlers of Django REST framework, and decorators where they cannot work."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.utils.decorators import method_decorator
from rest_framework import exceptions
from rest_framework.decorators import api_view
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import ViewSet

from coreason_budget import BudgetExceededError, budgeted, service
from coreason_budget.scopes import ANONYMOUS

from .rest import Base, answer_of, pay

if TYPE_CHECKING:
    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)


def test_an_error_of_the_budget_in_an_undecorated_handler_is_answered(
    rest_site: Site, ledger: Ledger, ann: Any
) -> None:
    class Bare(Base, APIView):
        def get(self, request: Any) -> Any:
            service.check(request.user.pk, amount="2")

    answer = answer_of(rest_site, Bare.as_view())

    assert (answer.status, answer.headers["Content-Type"]) == (429, "application/problem+json")
    assert (answer.json["scope"], answer.json["limit_usd"]) == ("user", "1")


def test_an_error_of_the_budget_in_a_decorated_handler_is_answered_without_the_middleware(
    rest_site: Site, ledger: Ledger, ann: Any
) -> None:
    rest_site.without_middleware()

    class Greedy(Base, APIView):
        @budgeted(estimate="0.1")
        def get(self, request: Any) -> Any:
            raise AssertionError(service.reserve(request.user.pk, amount="2"))

    answer = answer_of(rest_site, Greedy.as_view())

    assert (answer.status, answer.json["requested_usd"]) == (429, "2")
    assert ledger.of(ann) == ("0", "0")


def test_errors_of_the_framework_are_its_own(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class Broken(Base, APIView):
        @budgeted(estimate="0.5")
        def get(self, request: Any) -> Any:
            raise exceptions.ValidationError({"q": "too long"})

    answer = answer_of(rest_site, Broken.as_view())

    assert (answer.status, answer.json) == (400, {"q": "too long"})
    assert ledger.of(ann) == ("0", "0")


# What cannot work is said


def test_dispatch_cannot_be_decorated(
    rest_site: Site, ledger: Ledger, ann: Any, caplog: pytest.LogCaptureFixture
) -> None:
    @method_decorator(budgeted, name="dispatch")
    class Early(Base, APIView):
        def get(self, request: Any) -> Any:
            return pay(request)

    assert answer_of(rest_site, Early.as_view()).status == 500
    assert (
        "ImproperlyConfigured: @budgeted cannot decorate dispatch() of the REST framework view "
        "test_dispatch_cannot_be_decorated.<locals>.Early: authentication has not run yet. Decorate its handlers "
        "(get, post) instead."
    ) in caplog.text
    assert ledger.of(ANONYMOUS) == ("0", "0")


def test_a_view_cannot_be_decorated_from_outside() -> None:
    class Ask(Base, APIView):
        pass

    class AskMany(Base, ViewSet):
        def list(self, request: Any) -> Any:
            """Never called."""

    for view in (Ask.as_view(), AskMany.as_view({"get": "list"}), api_view(["GET"])(pay)):
        with pytest.raises(ImproperlyConfigured, match="@budgeted must come below @api_view, or decorate the handlers"):
            budgeted(estimate="0.5")(view)


def test_the_wrong_order_is_refused_where_it_is_written() -> None:
    with pytest.raises(ImproperlyConfigured, match="@budgeted must come below @api_view"):

        @budgeted
        @api_view(["GET"])
        def wrong(request: Any) -> Any:
            """Never made."""


def test_a_refusal_that_a_handler_catches_is_its_own_affair(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class Careful(Base, APIView):
        @budgeted(estimate="0.5")
        def get(self, request: Any) -> Any:
            try:
                service.check(request.user.pk, amount="2")
            except BudgetExceededError as error:
                request.budget.charge(cost="0.1")
                return Response({"left": f"{error.remaining:f}"})

    assert answer_of(rest_site, Careful.as_view()).json == {"left": "0.5"}
    assert ledger.of(ann) == ("0.1", "0")
