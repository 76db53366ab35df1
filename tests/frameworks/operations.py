"""APIs of django-ninja with operations on a budget, and how they are called."""

from __future__ import annotations

import json
from itertools import count
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from ninja import NinjaAPI, Schema
from ninja.security import HttpBearer

from tests.http.exchange import AsgiExchange, Call, WsgiExchange
from tests.http.site import Urls, cookies_of
from tests.http.steps import charge

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.http import HttpRequest

    from tests.http.exchange import Answer
    from tests.http.site import Site

MIDNIGHT = "2030-03-14T00:00:00+00:00"
USER_ID = "coreason_budget.integrations.ninja.user_id"
_numbers = count()


class Question(Schema):
    text: str
    words: int = 10


class Filters(Schema):
    language: str = "en"


class Word(Schema):
    text: str


class Bearer(HttpBearer):
    """Knows users by a token, which is their name."""

    def authenticate(self, request: HttpRequest, token: str) -> Any:
        return User.objects.filter(username=token).first()


class AsyncBearer(HttpBearer):
    async def authenticate(self, request: HttpRequest, token: str) -> Any:
        return await User.objects.filter(username=token).afirst()


def new_api(**options: Any) -> NinjaAPI:
    return NinjaAPI(urls_namespace=f"api-{next(_numbers)}", **options)


def begin(site: Site, api: NinjaAPI, at: str = "/ask", *, user: Any = None, body: Any = None, **headers: str) -> Any:
    """Begin to call an operation: POST if there is a body."""
    site.settings.ROOT_URLCONF = Urls("", api.urls)
    sent = dict(headers)
    if user is not None:
        sent["cookie"] = cookies_of(user)
    if body is not None:
        sent["content-type"] = "application/json"
    call = Call(at, "GET" if body is None else "POST", sent, b"" if body is None else json.dumps(body).encode())
    if site.door == "asgi":
        return AsgiExchange(site.runner, ASGIHandler(), call)
    return WsgiExchange(WSGIHandler(), call)


def ask(site: Site, api: NinjaAPI, at: str = "/ask", **options: Any) -> Answer:
    """Call an operation and return its answer. See begin()."""
    answer: Answer = begin(site, api, at, **options).finish()
    return answer


def paying(request: HttpRequest) -> Any:
    yield charge(request)
    return {"held": f"{request.budget.hold.amount:f}"}  # type: ignore[attr-defined]


def api_with(site: Site, body: Callable[..., Any] = paying, route: str = "/ask", **options: Any) -> NinjaAPI:
    """Return an API with one decorated operation of the site's kind."""
    api = new_api(auth=options.pop("auth", None))
    api.api_operation(["GET", "POST"], route, **options)(site.budgeted(estimate="0.5")(body))
    return api
