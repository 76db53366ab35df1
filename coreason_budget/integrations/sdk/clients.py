"""
Clients of an SDK on a budget.

Every call of a client, whichever resource or helper makes it, goes through the client's ``request``, and the SDK's
retries happen inside of it. That is what is replaced, on the one client that is wrapped; its class is left alone.
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import copy
from dataclasses import dataclass, replace
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ... import service
from ...exceptions import UnknownModelError
from ...ledger.steps import Twin
from ...metering.calls import MeteredCall
from ...metering.current import payer_of
from ...metering.produced import Produced
from ...metering.sending import answered
from ...metering.steps import Invoke, Settle
from ...money import to_nanos
from ...pricing.tokens import MessageTokens
from ...scopes import clean_id
from .answers import Wire, body_for, metered, read_whole
from .endpoints import endpoint_at, plain
from .streams import relay

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...ledger.steps import Operation
    from ...manager import BudgetManager
    from ...metering.calls import Request
    from ...metering.current import Payer
    from .endpoints import Endpoint

__all__ = ["Sdk", "Terms", "wrapped"]

C = TypeVar("C")

_MARK: Final = "_coreason_budget"
#: How the SDKs are asked for the response that an answer came in. They say so themselves, for with_raw_response.
_MODE: Final = "X-Stainless-Raw-Response"
_UNREAD: Final = "stream"


def _nothing(_: Any) -> bool:
    return False


def _tells_only_usage(chunk: Any) -> bool:
    return chunk.usage is not None and not chunk.choices


@dataclass(frozen=True, slots=True)
class Sdk:
    """What is different between the SDKs. ``named_freely`` are clients whose models have names of their owner's."""

    name: str
    sync: type
    asynchronous: type
    absent: tuple[type, ...]
    endpoints: tuple[Endpoint, ...]
    named_freely: tuple[type, ...] = ()


@dataclass(frozen=True, slots=True)
class Terms:
    """Who pays for the calls of a client (None: whoever pays where they are made), and whether answers are limited."""

    user: object = None
    project: object = None
    is_limited: bool = False

    @classmethod
    def of(cls, user: object, project: object, *, limit_to_remaining: bool) -> Terms:
        """Return terms whose ids were checked. Raise TypeError or ValueError."""
        return cls(
            None if user is None else clean_id(user, "user"),
            None if project is None else clean_id(project, "project"),
            limit_to_remaining,
        )

    def payer(self) -> Operation[Payer]:
        """Return who pays for a call that is made here. Raise MissingUserError."""
        return payer_of(self.user, self.project, remedy="name somebody with wrap(client, user=...)")


def wrapped(client: C, sdk: Sdk, terms: Terms) -> C:
    """
    Put the calls of a client on a budget, and return it.

    Raise TypeError for what is no client of the SDK, ValueError for one that was wrapped on other terms: somebody
    else may be using it. What ``with_options()`` returned may be given terms of its own.
    """
    if not isinstance(client, (sdk.sync, sdk.asynchronous)):
        raise TypeError(
            f"wrap() takes a client: {sdk.name}.{sdk.sync.__name__}, {sdk.name}.{sdk.asynchronous.__name__} or one "
            f"of a class made from them, not {type(client).__name__}: {client!r:.80}."
        )
    known: _Wrapping | None = vars(client).get(_MARK)
    if known is None:
        _Wrapping(client, sdk, terms)
    elif known.is_inherited:
        known.terms, known.is_inherited = terms, False
    elif known.terms != terms:
        raise ValueError(
            "This client was wrapped on other terms, and others may be using it: wrap a copy, "
            "wrap(client.with_options(), user=...)."
        )
    return client


class _Wrapping:
    """A client that is wrapped: stands in for its ``request``, and has its copies wrapped on the same terms."""

    def __init__(self, client: Any, sdk: Sdk, terms: Terms, *, is_inherited: bool = False) -> None:
        self.terms = terms
        self.is_inherited = is_inherited
        self._sdk = sdk
        self._is_async = isinstance(client, sdk.asynchronous)
        self._is_named_freely = isinstance(client, sdk.named_freely)
        self._request = client.request
        vars(client).update(
            {
                _MARK: self,
                "request": self.request,
                "copy": self._inheriting(client.copy),
                "with_options": self._inheriting(client.with_options),
            }
        )

    def request(self, cast_to: Any, options: Any, *, stream: bool = False, stream_cls: Any = None) -> Any:
        """Make a request, on a budget if it costs something. See the SDK's own method, also for a coroutine."""
        send = partial(self._request, cast_to, stream=stream, stream_cls=stream_cls)
        endpoint = endpoint_at(options.url, self._sdk.endpoints) if options.method.lower() == "post" else None
        if endpoint is None:
            return send(options)
        manager = service.manager()
        operation = self._called(manager, endpoint, _Sending(send, options, self._body(endpoint, options), stream))
        return manager.adrive(operation) if self._is_async else manager.drive(operation)

    def _inheriting(self, copied: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(copied)
        def made(*args: Any, **kwargs: Any) -> Any:
            client = copied(*args, **kwargs)
            if _MARK not in vars(client):
                _Wrapping(client, self._sdk, self.terms, is_inherited=True)
            return client

        return made

    def _body(self, endpoint: Endpoint, options: Any) -> dict[str, Any]:
        data = options.json_data
        if not isinstance(data, Mapping):
            raise TypeError(
                f"A call of {endpoint.path} is budgeted by its body, which must be a dict (body=...), not "
                f"{type(data).__name__}: {data!r:.80}."
            )
        body: dict[str, Any] = plain({**data, **(options.extra_json or {})}, self._sdk.absent)
        return body

    def _called(self, manager: BudgetManager, endpoint: Endpoint, sending: _Sending) -> Operation[Any]:
        payer = yield from self.terms.payer()
        request = endpoint.request(sending.body, is_limited=self.terms.is_limited)
        if self._is_named_freely:
            request = yield from _with_amount(manager, request)
        call = MeteredCall(manager, payer, request)
        sending = sending.asking_for_usage() if endpoint.asks_usage else sending
        raw = yield from answered(call, partial(sending.send, endpoint))
        response = _response_of(raw)
        if response is not None and sending.is_unread:
            return (yield from self._streamed(call, sending, raw, response))
        return (yield from _whole(call, sending, raw, response))

    def _streamed(self, call: MeteredCall, sending: _Sending, raw: Any, response: Any) -> Operation[Any]:
        wire = Wire(call, body_for(response))
        metered(response, wire)
        if sending.mode is not None or raw is response:
            return raw
        return relay((yield Invoke(raw.parse)), wire, sending.hides)


@dataclass(frozen=True, slots=True)
class _Sending:
    """A request as it was made, and how it is sent."""

    request: Callable[..., Any]
    options: Any
    body: dict[str, Any]
    is_stream: bool
    hides: Callable[[Any], bool] = _nothing

    @property
    def headers(self) -> Mapping[str, Any]:
        """The headers of this request alone."""
        return self.options.headers if isinstance(self.options.headers, Mapping) else {}

    @property
    def mode(self) -> str | None:
        """How the caller wants the response itself; None if what it says is wanted."""
        return self.headers.get(_MODE)

    @property
    def is_unread(self) -> bool:
        """Whether the body is still to come when the request returns."""
        return self.is_stream or self.mode == _UNREAD

    def asking_for_usage(self) -> _Sending:
        """Have a stream say what it used, unless the caller gets its bytes, or has said whether it is to."""
        stated = self.body.get("stream_options", {})
        if self.mode is not None or not isinstance(stated, Mapping) or "include_usage" in stated:
            return self
        if not self.is_stream or not self.body.get("stream"):
            return self
        body = {**self.body, "stream_options": {**stated, "include_usage": True}}
        return replace(self, body=body, hides=_tells_only_usage)

    def send(self, endpoint: Endpoint, lowered: int | None) -> Any:
        """Make the request, with an answer of at most so many tokens, and return the response that it came in."""
        options = copy(self.options)
        options.json_data = self.body if lowered is None else endpoint.lowered(self.body, lowered)
        options.extra_json = None
        options.headers = {**self.headers, _MODE: self.mode or "raw"}
        return self.request(options)


def _whole(call: MeteredCall, sending: _Sending, raw: Any, response: Any) -> Operation[Any]:
    """Book an answer that is there as a whole. It is paid for also if the SDK cannot make of it what was asked for."""
    if response is None:  # a middleware has answered by itself
        produced = Produced(call.model)
        produced.read_whole(raw)
    else:
        produced = read_whole(call, response)
    try:
        answer = raw if raw is response or response is None else (yield Invoke(raw.parse))
    except BaseException:
        yield Settle(call.settle(produced))
        raise
    yield Settle(call.settle(produced, answer))
    return answer if sending.mode is None else raw


def _with_amount(manager: BudgetManager, request: Request) -> Operation[Request]:
    """Have DEFAULT_HOLD_USD held for a model that has no price under its own name; the answer tells another."""
    try:
        work = partial(manager.pricing.bound, request.models[0], MessageTokens(), 0)
        yield Twin(manager, "reckon", (work, request.models))
    except UnknownModelError:
        return replace(request, amount=to_nanos(manager.config.default_hold_usd, "DEFAULT_HOLD_USD"))
    return request


def _response_of(raw: Any) -> Any | None:
    """Return the HTTP response that an answer came in."""
    holders = (raw, getattr(raw, "http_response", None), getattr(raw, "response", None))
    return next((holder for holder in holders if hasattr(holder, "is_stream_consumed")), None)
