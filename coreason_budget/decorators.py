"""``budgeted``: the decorator for views that call an LLM."""

from __future__ import annotations

import inspect
from functools import partial, wraps
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, TypeVar, get_type_hints, overload

from django.core.exceptions import ImproperlyConfigured
from django.http import HttpRequest

from .http.calls import Call, Terms
from .http.steps import is_async
from .money import to_nanos

if TYPE_CHECKING:
    from collections.abc import Callable

    from .money import Amount

__all__ = ["budgeted"]

V = TypeVar("V", bound="Callable[..., Any]")


@overload
def budgeted(view: V, /) -> V: ...
@overload
def budgeted(
    *,
    project: str | Callable[..., Any] | None = None,
    estimate: Amount | Callable[..., Any] | None = None,
    model: str | None = None,
) -> Callable[[V], V]: ...
def budgeted(
    view: Callable[..., Any] | None = None,
    /,
    *,
    project: str | Callable[..., Any] | None = None,
    estimate: Amount | Callable[..., Any] | None = None,
    model: str | None = None,
) -> Any:
    """
    Hold money for every call of a view; without room the caller gets a 429, without a ledger a 503.

    The view books what it really cost by ``request.budget.charge(response)`` (``acharge`` in async views); what is left
    of the hold is given back when the view, or the stream that it returned, has ended::

        @budgeted(project="project_id", estimate="0.02")
        def ask(request, project_id):
            response = litellm.completion(model="gpt-4o", messages=messages_of(request))
            request.budget.charge(response)
            return JsonResponse({"answer": response.choices[0].message.content})

    ``project`` is the name of a URL keyword, or a function of the request and the URL keywords that returns an id or
    None; by default what PROJECT_ID says. ``estimate`` is what to hold, in USD, or such a function; by default what
    a call of ``model`` may cost, else DEFAULT_HOLD_USD. It works on plain and async views and methods, on classes by
    ``method_decorator``, and on REST framework handlers (not on their ``dispatch``, which runs before authentication).

    Raise TypeError or ValueError for options that cannot be used; calling the view raises ImproperlyConfigured if its
    URL has no keyword ``project``.
    """
    terms = terms_of(project, estimate, model)
    return partial(_decorated, terms) if view is None else _decorated(terms, view)


def terms_of(project: object, estimate: Any, model: object) -> Terms:
    """Return what a decorator was given. Raise TypeError or ValueError for options that cannot be used."""
    if not (project is None or isinstance(project, str) or callable(project)):
        raise TypeError(f"project must be the name of a URL keyword or a function, not {project!r:.80}.")
    if project == "":
        raise ValueError("project must be the name of a URL keyword, not ''.")
    if estimate is not None and not callable(estimate):
        to_nanos(estimate, "estimate")
    if not (model is None or isinstance(model, str)):
        raise TypeError(f"model must be the name of a model, not {model!r:.80}.")
    return Terms(project, estimate, model)


def _decorated(terms: Terms, view: Callable[..., Any]) -> Callable[..., Any]:
    _refuse_what_is_no_view(view)

    def call_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> Call:
        request = _request_of(view, args, kwargs)
        owner = _owner(view, args)
        _refuse_unauthenticated(owner, request)
        keywords = {name: value for name, value in kwargs.items() if value is not request}
        name = partial(_name_of, view, owner if owner is not request else None)
        return Call(terms, request, keywords, partial(view, *args, **kwargs), name)

    if is_async(view):

        @wraps(view)
        async def awrapper(*args: Any, **kwargs: Any) -> Any:
            return await call_of(args, kwargs).aanswer()

        return _signed(awrapper, view)

    @wraps(view)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        call = call_of(args, kwargs)
        return call.aanswer() if _is_async_dispatch(view, args) else call.answer()

    return _signed(wrapper, view)


def _signed(wrapper: Callable[..., Any], view: Callable[..., Any]) -> Callable[..., Any]:
    """
    Give a wrapper the view's signature with its annotations as objects, where they are text.

    Frameworks that read parameters off a view (django-ninja) look names up where the wrapper was made, which is here.
    """
    try:
        signature = inspect.signature(view)
    except (TypeError, ValueError):  # a callable that has none
        return wrapper
    names = getattr(inspect.unwrap(view), "__globals__", {})
    parameters = [_resolved(parameter, names) for parameter in signature.parameters.values()]
    if parameters != list(signature.parameters.values()):
        wrapper.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]
    return wrapper


def _resolved(parameter: inspect.Parameter, names: dict[str, Any]) -> inspect.Parameter:
    if not isinstance(parameter.annotation, str):
        return parameter
    holder = SimpleNamespace(__annotations__={parameter.name: parameter.annotation})
    try:
        hints = get_type_hints(holder, globalns=names, include_extras=True)
    except Exception:  # noqa: BLE001  # it is whatever code the annotation is; many are only for type checkers
        return parameter
    return parameter.replace(annotation=hints[parameter.name])


def _is_async_dispatch(view: Callable[..., Any], args: tuple[Any, ...]) -> bool:
    """Tell whether this is dispatch() of an asynchronous class: a plain method that returns an awaitable."""
    return getattr(view, "__name__", "") == "dispatch" and getattr(_owner(view, args), "view_is_async", False)


def _name_of(view: Callable[..., Any], owner: object) -> str:
    """Return the name of a view for people: that of its class where a method was inherited or made by as_view()."""
    view = view.func if isinstance(view, partial) else view
    named = getattr(view, "view_class", view if hasattr(view, "__qualname__") else type(view))
    name = f"{named.__module__}.{named.__qualname__}"
    if owner is not None and hasattr(type(owner), getattr(view, "__name__", "")):
        name = f"{type(owner).__module__}.{type(owner).__qualname__}.{view.__name__}"
    return name


def _refuse_what_is_no_view(view: object) -> None:
    if inspect.isclass(view):
        raise TypeError(
            f"@budgeted cannot decorate the class {view.__qualname__}: use @method_decorator(budgeted(...), "
            "name='post'), or 'dispatch' for all methods."
        )
    if not callable(view):
        raise TypeError(f"@budgeted decorates a view, not {view!r:.80}; its options are keywords.")
    if inspect.isgeneratorfunction(view) or inspect.isasyncgenfunction(view):
        raise TypeError(
            f"@budgeted cannot decorate the generator {_name_of(view, None)}: a view returns a StreamingHttpResponse. "
            "For a streaming operation of django-ninja use coreason_budget.integrations.ninja.budgeted_stream."
        )
    if _is_rest_view(getattr(view, "cls", None)):
        raise ImproperlyConfigured(
            "@budgeted must come below @api_view, or decorate the handlers (get, post) of the REST framework view: "
            "around the view it runs before authentication and would see an anonymous user."
        )


def _request_of(view: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    for candidate in (*args[:2], kwargs.get("request")):
        if isinstance(getattr(candidate, "_request", candidate), HttpRequest):
            return candidate
    raise TypeError(
        f"@budgeted: {_name_of(view, None)} was called without a request as its first argument. On a class use "
        "@method_decorator(budgeted(...), name='dispatch')."
    )


def _owner(view: Callable[..., Any], args: tuple[Any, ...]) -> object:
    """Return the class-based view whose method this is, if any: bound by method_decorator, or the first argument."""
    bound = getattr(getattr(view, "func", view), "__self__", None)
    return bound if bound is not None else next(iter(args), None)


def _refuse_unauthenticated(owner: object, request: object) -> None:
    if _is_rest_view(owner) and isinstance(request, HttpRequest):
        raise ImproperlyConfigured(
            f"@budgeted cannot decorate dispatch() of the REST framework view {type(owner).__qualname__}: "
            "authentication has not run yet. Decorate its handlers (get, post) instead."
        )


def _is_rest_view(view: object) -> bool:
    return all(callable(getattr(view, name, None)) for name in ("initialize_request", "perform_authentication"))
