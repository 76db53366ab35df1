"""Who is asking, and for which project: the user of the request, or what the project's own functions say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.core.exceptions import BadRequest, ImproperlyConfigured
from django.utils.module_loading import import_string

from ..exceptions import BudgetConfigurationError
from ..scopes import ANONYMOUS, clean_id
from .steps import Hook, User, is_unloaded, seen_user

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from django.http import HttpRequest

    from ..conf import BudgetConfig
    from ..ledger.steps import Operation

__all__ = ["http_request", "known_user", "project_of", "user_of"]


def http_request(request: Any) -> HttpRequest:
    """Return Django's request, also of one that wraps it as REST framework's does."""
    found: HttpRequest = getattr(request, "_request", request)
    return found


def user_of(request: Any, config: BudgetConfig) -> Operation[str]:
    """
    Return the id of who is asking: ``str(request.user.pk)``, ANONYMOUS if nobody is logged in, or what USER_ID says.

    The request is as the view sees it: a framework's own may authenticate only when it is asked.
    Raise TypeError or ValueError if USER_ID returns what is no id, BudgetConfigurationError if it cannot be imported.
    """
    if config.user_id is None:
        return _id_of((yield User(request)))
    value = yield Hook(_imported("USER_ID", config.user_id), (http_request(request),))
    return ANONYMOUS if value is None else clean_id(value, "USER_ID")


def known_user(request: HttpRequest, config: BudgetConfig) -> str | None:
    """Return the id of who is asking if that is known without any query, else None."""
    user = seen_user(request)
    return None if config.user_id is not None or is_unloaded(user) else _id_of(user)


def project_of(
    request: Any, project: str | Callable[..., Any] | None, kwargs: Mapping[str, Any], config: BudgetConfig
) -> Operation[str | None]:
    """
    Return the project of a call: from a URL keyword or a function (of the decorator, say), else what PROJECT_ID says.

    The function gets the request as the view sees it, PROJECT_ID gets Django's.
    Raise ImproperlyConfigured if the URL has no such keyword, BadRequest (which Django answers with 400) for an id that
    cannot be one: it comes from the request.
    """
    if isinstance(project, str):
        value = _keyword(project, kwargs)
    elif project is not None:
        value = yield Hook(project, (request,), kwargs)
    elif config.project_id is not None:
        value = yield Hook(_imported("PROJECT_ID", config.project_id), (http_request(request),))
    else:
        return None
    if value is None or value == "":
        return None
    try:
        return clean_id(value, "project")
    except ValueError as error:
        raise BadRequest(str(error)) from error


def _keyword(name: str, kwargs: Mapping[str, Any]) -> Any:
    try:
        return kwargs[name]
    except KeyError:
        known = ", ".join(map(repr, kwargs)) or "none"
        raise ImproperlyConfigured(
            f"project={name!r}: the URL of this view has no keyword {name!r} (it has: {known}). Name "
            "one that it has, or pass a function of the request."
        ) from None


def _id_of(user: Any) -> str:
    if user is None or not user.is_authenticated or user.pk is None:
        return ANONYMOUS
    return str(user.pk)


def _imported(setting: str, path: str) -> Callable[..., Any]:
    try:
        function: Callable[..., Any] = import_string(path)
    except ImportError as error:
        raise BudgetConfigurationError(f"COREASON_BUDGET[{setting!r}] {path!r} cannot be imported: {error}") from error
    return function
