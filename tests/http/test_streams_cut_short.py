"""Streams that nobody reads to the end: the hold is given back, what was charged stays, and nothing is left behind."""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any

import pytest
from asgiref.sync import iscoroutinefunction, markcoroutinefunction
from django.core.handlers.asgi import ASGIHandler
from django.http import HttpResponse, StreamingHttpResponse
from django.test import RequestFactory

from coreason_budget import budgeted
from coreason_budget.metering import streams

from .exchange import AsgiExchange, Call
from .site import Urls, breaking_stream, cookies_of
from .steps import charge

if TYPE_CHECKING:
    from collections.abc import Callable

    from .site import Ledger, Site

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean")]

HERE = f"{__name__}."


class Body:
    """A stream of many words that charges at its end, and knows how it ended."""

    def __init__(self, *, charges: bool = True) -> None:
        self.charges = charges
        self.began = False
        self.ended = False

    def __call__(self, request: Any) -> Any:
        self.began = True
        try:
            for _ in range(100):
                yield b"word "
        finally:
            if self.charges:
                yield charge(request, "0.2")
            self.ended = True


def streaming(site: Site, body: Callable[[Any], Any]) -> Any:
    """Return a view that streams a body."""

    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        return StreamingHttpResponse(site.stream(body(request)))

    return view


def test_a_client_that_goes_in_mid_stream_pays_for_what_it_got(native_site: Site, ledger: Ledger, ann: Any) -> None:
    body = Body()
    exchange = native_site.open(streaming(native_site, body), user=ann)
    assert exchange.chunk() == b"word "
    assert ledger.of(ann) == ("0", "0.5")

    exchange.leave()

    assert body.ended
    assert ledger.of(ann) == ("0.2", "0")


@pytest.mark.usefixtures("real_store")
def test_it_is_the_same_on_a_real_server(native_site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure()
    for _ in range(3):
        exchange = native_site.open(streaming(native_site, Body()), user=ann)
        assert exchange.chunk() == b"word "
        exchange.leave()

    assert ledger.of(ann) == ("0.6", "0")


@pytest.mark.parametrize(
    "middleware", ["django.middleware.gzip.GZipMiddleware", f"{HERE}Shouting"], ids=["gzip", "another"]
)
def test_a_middleware_between_does_not_keep_the_hold(
    native_site: Site, ledger: Ledger, ann: Any, middleware: str
) -> None:
    native_site.settings.MIDDLEWARE = [middleware, *native_site.settings.MIDDLEWARE]
    exchange = native_site.open(streaming(native_site, Body()), user=ann, accept_encoding="gzip")
    assert exchange.chunk()  # of gzip a header of its own
    assert exchange.chunk()

    exchange.leave()

    assert ledger.of(ann) == ("0.2", "0")


class Between:
    """A middleware that does something to an answer."""

    sync_capable = True
    async_capable = True

    def __init__(self, get_response: Any) -> None:
        self.get_response = get_response
        if iscoroutinefunction(get_response):
            markcoroutinefunction(self)

    def __call__(self, request: Any) -> Any:
        if iscoroutinefunction(self):
            return self.acall(request)
        return self.after(self.get_response(request))

    async def acall(self, request: Any) -> Any:
        return self.after(await self.get_response(request))

    def after(self, response: Any) -> Any:
        return response


class Shouting(Between):
    """Wraps the stream."""

    def after(self, response: Any) -> Any:
        chunks = response.streaming_content
        response.streaming_content = self.loud(chunks) if response.is_async else map(bytes.upper, chunks)
        return response

    async def loud(self, chunks: Any) -> Any:
        async for chunk in chunks:
            yield chunk.upper()


class Forgetful(Between):
    """Answers something else, and does not close what it replaces."""

    def after(self, response: Any) -> Any:
        return HttpResponse("something else")


def test_a_client_that_goes_before_the_first_chunk_gets_its_hold_back(
    native_site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    body = Body()
    exchange = native_site.open(streaming(native_site, body), user=ann)
    assert exchange.start.status == 200
    assert ledger.of(ann) == ("0", "0.5")

    exchange.leave()

    assert not body.began
    assert ledger.of(ann) == ("0", "0")
    assert warnings_of_the_app == []  # nothing was called, so nothing had to be charged


def test_a_stream_that_was_cut_short_without_a_charge_is_told(
    native_site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    exchange = native_site.open(streaming(native_site, Body(charges=False)), user=ann)
    exchange.chunk()

    exchange.leave()

    assert ledger.of(ann) == ("0", "0")
    (warning,) = warnings_of_the_app
    assert "charged nothing" in warning


def test_a_client_that_goes_while_the_model_thinks_stops_it(async_site: Site, ledger: Ledger, ann: Any) -> None:
    thinking = asyncio.Event()
    stopped: list[str] = []

    async def body(request: Any) -> Any:
        yield b"word "
        try:
            thinking.set()
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            stopped.append("cancelled")
            raise
        finally:
            await request.budget.acharge(cost="0.2")

    @budgeted(estimate="0.5")
    async def view(request: Any) -> Any:
        return StreamingHttpResponse(body(request))

    exchange = async_site.open(view, user=ann)
    assert exchange.chunk() == b"word "
    exchange.until(thinking)
    assert ledger.of(ann) == ("0", "0.5")

    exchange.leave()

    assert stopped == ["cancelled"]
    assert ledger.of(ann) == ("0.2", "0")


@pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")
@pytest.mark.parametrize(("door", "kind"), [("asgi", "sync"), ("wsgi", "async")])
def test_a_stream_of_the_other_kind_that_nobody_reads_gives_its_hold_back(
    plain_site: Site, ledger: Ledger, ann: Any, door: str, kind: str
) -> None:
    plain_site.door, plain_site.kind = door, kind
    exchange = plain_site.open(streaming(plain_site, Body()), user=ann)
    assert exchange.start.status == 200
    assert ledger.of(ann) == ("0", "0.5")

    exchange.leave()

    assert ledger.of(ann) == ("0", "0")


def test_a_middleware_that_throws_the_stream_away_pins_nothing(native_site: Site, ledger: Ledger, ann: Any) -> None:
    native_site.settings.MIDDLEWARE = [f"{HERE}Forgetful", *native_site.settings.MIDDLEWARE]
    body = Body()
    view = streaming(native_site, body)
    native_site.get(view, user=ann)  # the first call of a script leaves an error with the frames of its callers
    gc.collect()

    gc.disable()  # it must not take a collection of cycles to be noticed
    try:
        answer = native_site.get(view, user=ann)
        if native_site.is_async:
            gc.collect()  # some versions of Django leave an error with the frames of its callers as they load a user
        ledger.settled()
        assert ledger.of(ann) == ("0", "0")
    finally:
        gc.enable()

    assert (answer.body, body.began) == (b"something else", False)


def test_a_response_that_is_dropped_in_mid_stream_pins_nothing(native_site: Site, ledger: Ledger, ann: Any) -> None:
    request = RequestFactory().get("/")
    request.user = ann
    response = native_site.run(streaming(native_site, Body(charges=False)), request)
    if native_site.is_async:
        native_site.runner.run(_first(response.streaming_content))
    else:
        next(iter(response))
    assert ledger.of(ann) == ("0", "0.5")

    del response
    gc.collect()
    native_site.runner.run(asyncio.sleep(0))  # the loop closes the generator that nobody has any more
    gc.collect()
    ledger.settled()

    assert ledger.of(ann) == ("0", "0")


async def _first(chunks: Any) -> Any:
    return await anext(chunks)


def test_a_response_may_be_closed_more_than_once(native_site: Site, ledger: Ledger, ann: Any) -> None:
    exchange = native_site.open(streaming(native_site, Body()), user=ann)
    exchange.finish()
    spent = ledger.of(ann)
    if not native_site.is_async:
        exchange.leave()
        exchange.leave()

    assert (spent, ledger.of(ann)) == (("0.2", "0"), ("0.2", "0"))


# Event loops that end early


def test_a_stream_is_closed_by_code_on_its_loop(async_site: Site, ledger: Ledger, ann: Any) -> None:
    body = Body()

    async def main() -> None:
        request = RequestFactory().get("/")
        request.user = ann
        response = await streaming(async_site, body)(request)
        async for _ in response:
            break
        response.close()
        await asyncio.gather(*streams._closing)

    async_site.runner.run(main())

    assert body.ended
    assert ledger.of(ann) == ("0.2", "0")


def test_a_loop_that_ends_right_after_that_pins_nothing(async_site: Site, ledger: Ledger, ann: Any) -> None:
    body = Body()

    async def main() -> None:
        request = RequestFactory().get("/")
        request.user = ann
        response = await streaming(async_site, body)(request)
        async for _ in response:
            break
        response.close()

    asyncio.run(main())
    gc.collect()
    ledger.settled()

    assert ledger.of(ann)[1] == "0"


@breaking_stream
def test_a_loop_that_ends_while_the_model_thinks_pins_nothing(async_site: Site, ledger: Ledger, ann: Any) -> None:
    thinking = asyncio.Event()

    async def body(request: Any) -> Any:
        yield b"word "
        thinking.set()
        await asyncio.Event().wait()

    @budgeted(estimate="0.5")
    async def view(request: Any) -> Any:
        return StreamingHttpResponse(body(request))

    async_site.settings.ROOT_URLCONF = Urls("", view)
    with asyncio.Runner() as runner:
        exchange = AsgiExchange(runner, ASGIHandler(), Call("/", headers={"cookie": cookies_of(ann)}))
        assert exchange.chunk() == b"word "
        exchange.until(thinking)
        assert ledger.of(ann) == ("0", "0.5")
    del exchange
    gc.collect()
    ledger.settled()

    assert ledger.of(ann) == ("0", "0")


def test_a_loop_that_is_killed_pins_nothing(async_site: Site, ledger: Ledger, ann: Any) -> None:
    thinking = asyncio.Event()

    async def body(request: Any) -> Any:
        yield b"word "
        thinking.set()
        await asyncio.Event().wait()

    @budgeted(estimate="0.5")
    async def view(request: Any) -> Any:
        return StreamingHttpResponse(body(request))

    async def read(response: Any) -> None:
        async for _ in response:
            pass

    request = RequestFactory().get("/")
    request.user = ann
    loop = asyncio.new_event_loop()
    response = loop.run_until_complete(view(request))
    reading = read(response)
    task = loop.create_task(reading)
    loop.run_until_complete(thinking.wait())
    assert ledger.of(ann) == ("0", "0.5")

    task._log_destroy_pending = False  # type: ignore[attr-defined]  # it is what we do here
    loop.close()
    del task, reading, response, loop
    gc.collect()
    ledger.settled()

    assert ledger.of(ann) == ("0", "0")
