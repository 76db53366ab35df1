"""Views of REST framework that a budget throttles, and a format that only the framework can produce."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from rest_framework.decorators import api_view, authentication_classes, renderer_classes, throttle_classes
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.response import Response
from rest_framework.views import APIView

from coreason_budget.integrations.drf import BudgetThrottle
from tests.http.rest import Base, TokenAuthentication

if TYPE_CHECKING:
    from tests.http.site import Ledger


class ReversedRenderer(BaseRenderer):
    """A format that nobody but REST framework's own rendering can produce."""

    media_type = "application/json"
    format = "reversed"

    def render(self, data: Any, accepted_media_type: Any = None, renderer_context: Any = None) -> bytes:
        return JSONRenderer().render(data)[::-1]


class Ask(Base, APIView):
    throttle_classes: Any = (BudgetThrottle,)

    def get(self, request: Any, **kwargs: Any) -> Any:
        request.budget.charge(cost="0.2")
        return Response({"answer": 42})


@api_view(["GET"])
@authentication_classes([TokenAuthentication])
@renderer_classes([JSONRenderer])
@throttle_classes([BudgetThrottle])
def ask(request: Any) -> Any:
    request.budget.charge(cost="0.2")
    return Response({"answer": 42})


VIEWS = pytest.mark.parametrize("view", [Ask.as_view(), ask], ids=["class", "function"])


def break_redis(ledger: Ledger, **options: Any) -> None:
    ledger.configure(redis_url="redis://127.0.0.1:1", timeout="0.2", **options)
