"""The two forms of each function, and their one body: read the arguments, hold, call litellm, book."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Any, Final

from ... import service
from ...ledger.steps import Twin
from ...metering.calls import MeteredCall, Request
from ...metering.current import payer_of
from ...metering.relays import AsyncRelay, Relay
from ...metering.sending import StreamedCall, sent
from ...pricing.fields import look_up, text_of
from ...pricing.litellm_prices import load_litellm
from ...pricing.responses import is_from_cache
from .models import candidates
from .tries import noting

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine, Mapping

    from ...ledger.steps import Operation
    from ...manager import BudgetManager
    from .endpoints import Endpoint

__all__ = ["twins"]

_LEAST: Final = 16  # tokens; OpenAI's Responses take no smaller maximum


def twins(endpoint: Endpoint) -> tuple[Callable[..., Any], Callable[..., Coroutine[Any, Any, Any]]]:
    """Return the synchronous and the asynchronous function on a budget that have the name of litellm's."""

    def form(*args: Any, **kwargs: Any) -> Any:
        manager = service.manager()
        return manager.drive(_called(manager, endpoint, endpoint.name, args, kwargs, Relay))

    async def aform(*args: Any, **kwargs: Any) -> Any:
        manager = service.manager()
        return await manager.adrive(_called(manager, endpoint, f"a{endpoint.name}", args, kwargs, AsyncRelay))

    for function, name in ((form, endpoint.name), (aform, f"a{endpoint.name}")):
        function.__name__ = function.__qualname__ = name
        function.__doc__ = f"Call ``litellm.{name}`` on a budget: its arguments, and those that the module tells of."
    return form, aform


@dataclass(frozen=True, slots=True)
class _Terms:
    """The arguments that litellm does not get."""

    budget_user: Any = None
    budget_project: Any = None
    budget_min_output_tokens: int = _LEAST
    limit_to_remaining: bool = False
    router: Any = None


def _called(  # as it was called, and how
    manager: BudgetManager,
    endpoint: Endpoint,
    name: str,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    relay: type[Relay | AsyncRelay],
) -> Operation[Any]:
    terms = _Terms(**{field: kwargs.pop(field) for field in _Terms.__dataclass_fields__ if field in kwargs})
    payer = yield from payer_of(terms.budget_user, terms.budget_project)
    if not _is_loaded():
        yield Twin(manager, "reckon", (_load,))  # takes seconds
    litellm = _load()
    function = getattr(litellm if terms.router is None else _router(terms.router), name, None)
    if function is None:
        raise TypeError(f"{type(terms.router).__name__} has no {name}(); call it without router=.")
    arguments = {**_named(getattr(litellm, name), getattr(litellm, endpoint.name), args, kwargs), **kwargs}
    call = MeteredCall(manager, payer, _request(manager, litellm, endpoint, arguments, terms))
    asks_for_usage = _asks_for_usage(endpoint, arguments)
    arguments["logger_fn"] = noting(call.tries, arguments.get("logger_fn"))

    def send(longest: int | None) -> Any:
        return function(**(arguments if longest is None else endpoint.lowered(arguments, longest)))

    def streamed(answer: Any, call: MeteredCall) -> Any | None:
        call.is_from_cache = is_from_cache(answer)
        call.deployment = text_of(look_up(answer, "_hidden_params"), "model_id")
        if not hasattr(answer, "__next__") and not hasattr(answer, "__anext__"):
            return None
        return relay(answer, StreamedCall(call, _tells_only_usage if asks_for_usage else _nothing))

    return (yield from sent(call, send, streamed))


# reading the arguments -----------------------------------------------------------------------------------------------


def _request(
    manager: BudgetManager, litellm: Any, endpoint: Endpoint, arguments: Mapping[str, Any], terms: _Terms
) -> Request:
    found = candidates(litellm, terms.router, arguments, has_output=bool(endpoint.maxima))
    longest = endpoint.maximum_of(arguments)
    return Request(
        found.models,
        endpoint.prompt_of(arguments),
        found.longest if longest is None else longest,
        choices=arguments.get("n") or 1,
        expects=None if endpoint.expects is None else endpoint.expects(arguments),
        fits=_least(endpoint, terms) if terms.limit_to_remaining else None,
        offers=found.offers,
    )


def _router(router: Any) -> Any:
    if not callable(getattr(router, "acompletion", None)):
        raise TypeError(f"router must be a litellm.Router, not {type(router).__name__}: {router!r:.80}.")
    return router


def _least(endpoint: Endpoint, terms: _Terms) -> int:
    if not endpoint.maxima:
        raise TypeError(f"limit_to_remaining is for answers in tokens; {endpoint.name}() has none.")
    return terms.budget_min_output_tokens


def _named(function: Any, twin: Any, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> dict[str, Any]:
    """Return positional arguments by the names that litellm has for them. Raise TypeError as a call of it would."""
    if not args:
        return {}
    names = _positional(function) or _positional(twin)
    if len(args) > len(names):
        raise TypeError(f"{function.__name__}() takes {len(names)} positional arguments but {len(args)} were given")
    named = dict(zip(names, args, strict=False))
    twice = next((name for name in named if name in kwargs), None)
    if twice is not None:
        raise TypeError(f"{function.__name__}() got multiple values for argument {twice!r}")
    return named


@cache
def _positional(function: Any) -> tuple[str, ...]:
    parameters = inspect.signature(function).parameters.values()
    return tuple(item.name for item in parameters if item.kind is item.POSITIONAL_OR_KEYWORD)


# streams -------------------------------------------------------------------------------------------------------------


def _asks_for_usage(endpoint: Endpoint, arguments: dict[str, Any]) -> bool:
    """Have a stream of chat end with its usage, unless the caller said otherwise. Return whether it was needed."""
    options = arguments.get("stream_options") or {}
    if not arguments.get("stream") or "include_usage" in options or "max_tokens" not in endpoint.maxima:
        return False
    arguments["stream_options"] = {**options, "include_usage": True}
    return True


def _tells_only_usage(chunk: Any) -> bool:
    if getattr(chunk, "usage", None) is None:
        return False
    return not any(choice.finish_reason or choice.delta.content or choice.delta.tool_calls for choice in chunk.choices)


def _nothing(_: Any) -> bool:
    return False


# litellm -------------------------------------------------------------------------------------------------------------


def _is_loaded() -> bool:
    return "litellm" in sys.modules and _load.cache_info().currsize > 0


@cache
def _load() -> Any:
    """Import litellm; unless it was told whether to, it is not to download tokenizers."""
    litellm = load_litellm()
    if getattr(litellm, "disable_hf_tokenizer_download", True) is None:
        litellm.disable_hf_tokenizer_download = True
    return litellm
