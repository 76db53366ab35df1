"""Django REST framework, the real package: its handlers are decorated, since its users are known only to them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from django.core.handlers.wsgi import WSGIHandler
from django.http import StreamingHttpResponse
from django.utils.decorators import method_decorator
from rest_framework.decorators import action, api_view, authentication_classes
from rest_framework.permissions import IsAuthenticated
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework.viewsets import GenericViewSet, ViewSet

from coreason_budget import budgeted, service
from coreason_budget.scopes import ANONYMOUS

from .exchange import Call, WsgiExchange
from .rest import Base, TokenAuthentication, answer_of, pay
from .site import Urls

if TYPE_CHECKING:
    from collections.abc import Callable

    from .site import Ledger, Site

pytestmark = pytest.mark.django_db(transaction=True)


class Ask(Base, APIView):
    @budgeted(estimate="0.5")
    def get(self, request: Any) -> Any:
        return pay(request)


class AskByName(Base, APIView):
    def get(self, request: Any) -> Any:
        return pay(request)


class AskMany(Base, GenericViewSet):
    @budgeted(estimate="0.5")
    def list(self, request: Any) -> Any:
        return pay(request)

    @action(detail=False)
    @budgeted(estimate="0.4")
    def below(self, request: Any) -> Any:
        return pay(request)

    @budgeted(estimate="0.3")
    @action(detail=False)
    def above(self, request: Any) -> Any:
        return pay(request)


class AskAny(Base, ViewSet):
    @method_decorator(budgeted(estimate="0.5"))
    def list(self, request: Any) -> Any:
        return pay(request)


@api_view(["GET"])
@authentication_classes([TokenAuthentication])
@budgeted(estimate="0.5")
def ask(request: Any) -> Any:
    return pay(request)


VIEWS: dict[str, Callable[[], Any]] = {
    "handler": Ask.as_view,
    "handler by name": method_decorator(budgeted(estimate="0.5"), name="get")(AskByName).as_view,
    "viewset": lambda: AskMany.as_view({"get": "list"}),
    "method_decorator": lambda: AskAny.as_view({"get": "list"}),
    "api_view": lambda: ask,
}


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_handler_is_charged_to_the_user_whom_the_framework_knows(
    rest_site: Site, ledger: Ledger, ann: Any, view: Callable[[], Any]
) -> None:
    answer = answer_of(rest_site, view(), accept="application/json")

    assert (answer.status, answer.json) == (200, {"held": "0.5"})
    assert answer.budget == ("0.2", "0.8", "2030-03-14T00:00:00+00:00")
    assert (ledger.of(ann), ledger.of(ANONYMOUS)) == (("0.2", "0"), ("0", "0"))


@pytest.mark.parametrize("view", VIEWS.values(), ids=VIEWS)
def test_a_refused_handler_is_not_run(rest_site: Site, ledger: Ledger, ann: Any, view: Callable[[], Any]) -> None:
    service.charge(ann.pk, "0.6")

    answer = answer_of(rest_site, view(), accept="application/json")

    assert (answer.status, answer.headers["Content-Type"]) == (429, "application/problem+json")
    assert (answer.json["remaining_usd"], answer.headers["Retry-After"]) == ("0.4", "43200")
    assert ledger.of(ann) == ("0.6", "0")


@pytest.mark.parametrize(("name", "held"), [("below", "0.4"), ("above", "0.3")])
def test_actions_of_a_viewset_are_decorated_in_either_order(
    rest_site: Site, ledger: Ledger, ann: Any, name: str, held: str
) -> None:
    assert [extra.__name__ for extra in AskMany.get_extra_actions()] == ["above", "below"]

    assert answer_of(rest_site, AskMany.as_view({"get": name})).json == {"held": held}
    assert ledger.of(ann) == ("0.2", "0")


def test_a_visitor_without_a_token_is_anonymous(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    assert answer_of(rest_site, Ask.as_view(), token="").status == 200

    assert (ledger.of(ann), ledger.of(ANONYMOUS)) == (("0", "0"), ("0.2", "0"))


def test_who_may_not_call_holds_nothing(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class AskUsersOnly(Ask):
        permission_classes = (IsAuthenticated,)

    assert answer_of(rest_site, AskUsersOnly.as_view(), token="").status == 401
    assert answer_of(rest_site, AskUsersOnly.as_view(), token="nobody").status == 401
    assert answer_of(rest_site, AskUsersOnly.as_view()).status == 200
    assert (ledger.of(ann), ledger.of(ANONYMOUS)) == (("0.2", "0"), ("0", "0"))


def test_a_user_whom_the_view_asks_for_late_is_charged(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class AskLazily(Ask):
        def perform_authentication(self, request: Any) -> None:
            """Leave it to who asks for request.user, as REST framework's documentation suggests."""

    assert answer_of(rest_site, AskLazily.as_view()).status == 200
    assert (ledger.of(ann), ledger.of(ANONYMOUS)) == (("0.2", "0"), ("0", "0"))


def test_functions_of_the_decorator_see_the_request_that_the_handler_sees(
    rest_site: Site, ledger: Ledger, ann: Any
) -> None:
    class AskData(Base, APIView):
        @budgeted(estimate=lambda request, pk: request.data["usd"], project=lambda request, pk: f"{request.auth}-{pk}")
        def post(self, request: Any, pk: int) -> Any:
            return pay(request)

    rest_site.settings.ROOT_URLCONF = Urls("<int:pk>/", AskData.as_view())
    call = Call(
        "/7/",
        "POST",
        {"authorization": "ann", "content-type": "application/json"},
        json.dumps({"usd": "0.7"}).encode(),
    )

    answer = WsgiExchange(WSGIHandler(), call).finish()

    assert answer.json == {"held": "0.7"}
    assert ledger.of(ann, "ann-7", scope="project") == ("0.2", "0")


def test_a_bare_charge_of_an_undecorated_handler_is_that_users(rest_site: Site, ledger: Ledger, ann: Any) -> None:
    class Bare(Base, APIView):
        def get(self, request: Any) -> Any:
            request.budget.charge(cost="0.2")
            return Response({})

    answer = answer_of(rest_site, Bare.as_view())

    assert answer.budget[:2] == ("0.2", "0.8")
    assert ledger.of(ann) == ("0.2", "0")


def test_a_stream_of_a_handler_is_held_until_it_ends(plain_site: Site, ledger: Ledger, ann: Any) -> None:
    class Streaming(Base, APIView):
        @budgeted(estimate="0.5")
        def get(self, request: Any) -> Any:
            def words() -> Any:
                yield "one "
                request.budget.charge(cost="0.2")
                yield "two"

            return StreamingHttpResponse(words())

    exchange = plain_site.open(Streaming.as_view(), authorization="ann")
    assert exchange.chunk() == b"one "
    assert ledger.of(ann) == ("0", "0.5")
    assert exchange.finish().body == b"two"
    assert ledger.of(ann) == ("0.2", "0")
