"""What the tests of REST framework share: users who are known by a token, and handlers that charge."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from rest_framework import exceptions
from rest_framework.authentication import BaseAuthentication
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer
from rest_framework.response import Response

if TYPE_CHECKING:
    from .exchange import Answer
    from .site import Site

__all__ = ["Base", "TokenAuthentication", "answer_of", "pay"]


class TokenAuthentication(BaseAuthentication):
    """Knows users by a token, which is their name."""

    def authenticate(self, request: Any) -> Any:
        token = request.headers.get("Authorization", "")
        if not token:
            return None
        try:
            return User.objects.get(username=token), token
        except User.DoesNotExist:
            raise exceptions.AuthenticationFailed from None

    def authenticate_header(self, request: Any) -> str:
        return "Token"


class Base:
    """What every view has here; goes before APIView."""

    authentication_classes: Any = (TokenAuthentication,)
    renderer_classes: Any = (JSONRenderer,)
    parser_classes: Any = (JSONParser,)


def pay(request: Any) -> Any:
    """Charge twenty cents and say what was held."""
    hold = request.budget.hold
    request.budget.charge(cost="0.2")
    return Response({"held": f"{hold.amount:f}"})


def answer_of(site: Site, view: Any, token: str = "ann", **options: Any) -> Answer:
    """Call a view with a token."""
    return site.get(view, authorization=token, **options)
