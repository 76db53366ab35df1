"""A small Django site: one view three times (undecorated, budgeted, with a final charge), and the admin."""

from __future__ import annotations

import asyncio
import io
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.conf import settings
from django.contrib import admin
from django.contrib.auth.models import User
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.http import HttpRequest, JsonResponse
from django.urls import path

from coreason_budget import budgeted

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = [
    "ADMIN_MIDDLEWARE",
    "MIDDLEWARE",
    "asgi_application",
    "ask_asgi",
    "ask_wsgi",
    "urlpatterns",
    "wsgi_application",
]

MIDDLEWARE: Final = "coreason_budget.middleware.BudgetMiddleware"
ADMIN_MIDDLEWARE: Final = (
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
)


class Visitor:
    """Middleware that knows who asks without a query, so that only the budget makes a difference."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Callable[[HttpRequest], Any]) -> None:
        self._get_response = get_response
        self._user = User(pk=7, username="ann")
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: HttpRequest) -> Any:
        request.user = self._user
        return self._get_response(request)


def plain(request: HttpRequest, project: str) -> JsonResponse:
    return JsonResponse({"answer": "42", "project": project})


async def aplain(request: HttpRequest, project: str) -> JsonResponse:
    return JsonResponse({"answer": "42", "project": project})


def _charging(*, final: bool) -> Any:
    @budgeted(project="project", estimate="0.0001")
    def view(request: HttpRequest, project: str) -> JsonResponse:
        request.budget.charge(cost="0.0001", model="gpt-4o", final=final)  # type: ignore[attr-defined]
        return JsonResponse({"answer": "42", "project": project})

    return view


def _acharging(*, final: bool) -> Any:
    @budgeted(project="project", estimate="0.0001")
    async def view(request: HttpRequest, project: str) -> JsonResponse:
        await request.budget.acharge(cost="0.0001", model="gpt-4o", final=final)  # type: ignore[attr-defined]
        return JsonResponse({"answer": "42", "project": project})

    return view


urlpatterns = [
    path("admin/", admin.site.urls),
    path("sync/plain/<str:project>/", plain),
    path("sync/charge/<str:project>/", _charging(final=False)),
    path("sync/final/<str:project>/", _charging(final=True)),
    path("async/plain/<str:project>/", aplain),
    path("async/charge/<str:project>/", _acharging(final=False)),
    path("async/final/<str:project>/", _acharging(final=True)),
]


def wsgi_application(*middleware: str) -> WSGIHandler:
    """Return Django's WSGI handler of this site with that middleware."""
    settings.MIDDLEWARE = ["benchmarks.site.Visitor", *middleware]
    return WSGIHandler()


def asgi_application(*middleware: str) -> ASGIHandler:
    """Return Django's ASGI handler of this site with that middleware."""
    settings.MIDDLEWARE = ["benchmarks.site.Visitor", *middleware]
    return ASGIHandler()


def ask_wsgi(application: WSGIHandler, url: str) -> bytes:
    """Have the site answer a request as a WSGI server does."""
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": url,
        "SCRIPT_NAME": "",
        "QUERY_STRING": "",
        "SERVER_NAME": "testserver",
        "SERVER_PORT": "80",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "HTTP_ACCEPT": "application/json",
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": "http",
        "wsgi.input": io.BytesIO(),
        "wsgi.errors": io.StringIO(),
    }
    response = application(environ, _start_response)  # type: ignore[arg-type]
    body = b"".join(response)
    response.close()
    return body


def _start_response(status: str, headers: object) -> None:
    if not status.startswith("200"):
        raise RuntimeError(f"The site answered {status}: {headers}")


async def ask_asgi(application: ASGIHandler, url: str) -> bytes:
    """Have the site answer a request as an ASGI server does."""
    scope = {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "GET",
        "path": url,
        "raw_path": url.encode(),
        "query_string": b"",
        "root_path": "",
        "headers": [(b"host", b"testserver"), (b"accept", b"application/json")],
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 50000),
        "scheme": "http",
    }
    sent: list[Mapping[str, Any]] = []
    asked = False

    async def receive() -> Mapping[str, Any]:
        nonlocal asked
        if asked:
            await asyncio.Event().wait()  # the client stays until it has its answer
        asked = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    await application(scope, receive, send)
    if sent[0]["status"] != 200:  # noqa: PLR2004
        raise RuntimeError(f"The site answered {sent[0]['status']}")
    return b"".join(message.get("body", b"") for message in sent)
