"""Streamed answers: the hold lives until the stream ends, and the generator charges to it."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any

import pytest
from django.http import FileResponse, HttpResponse, StreamingHttpResponse

from coreason_budget import budgeted, service
from coreason_budget.metering import purse, streams
from coreason_budget.models import SpendRecord

from .site import breaking_stream
from .steps import call, charge, do

if TYPE_CHECKING:
    from collections.abc import Callable

    from .site import Ledger, Site

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("clean")]

either = pytest.mark.filterwarnings("ignore:StreamingHttpResponse must consume")


def words(request: Any) -> Any:
    """Send two words, and charge twenty cents before the second."""
    yield b"one "
    yield charge(request, "0.2")
    yield b"two"


def streaming(site: Site, body: Callable[[Any], Any] = words, **terms: Any) -> Any:
    """Return a view that streams a body."""

    @site.budgeted(**({"estimate": "0.5"} | terms))
    def view(request: Any) -> Any:
        return StreamingHttpResponse(site.stream(body(request)))

    return view


def test_the_hold_lives_until_the_stream_ends(native_site: Site, ledger: Ledger, ann: Any) -> None:
    exchange = native_site.open(streaming(native_site), user=ann)

    assert exchange.start.status == 200
    assert ledger.of(ann) == ("0", "0.5")
    assert exchange.chunk() == b"one "
    assert ledger.of(ann) == ("0", "0.5")
    assert exchange.chunk() == b"two"
    assert ledger.of(ann) == ("0.2", "0.3")
    assert exchange.finish().body == b""
    assert ledger.of(ann) == ("0.2", "0")


@either
def test_a_stream_is_charged_whatever_serves_it(site: Site, ledger: Ledger, ann: Any) -> None:
    answer = site.get(streaming(site), user=ann)

    assert (answer.status, answer.body) == (200, b"one two")
    assert ledger.of(ann) == ("0.2", "0")
    ledger.settled()
    assert SpendRecord.objects.count() == 1


@either
@pytest.mark.usefixtures("real_store")
def test_it_is_the_same_on_a_real_server(site: Site, ledger: Ledger, ann: Any) -> None:
    ledger.configure()

    answers = [site.get(streaming(site), user=ann) for _ in range(4)]

    assert [answer.status for answer in answers] == [200, 200, 200, 429]
    assert ledger.of(ann) == ("0.6", "0")


@either
def test_a_stream_has_no_headers_of_the_budget(site: Site, ledger: Ledger, ann: Any) -> None:
    answer = site.get(streaming(site), user=ann)

    assert answer.budget == (None, None, None)


def test_a_refused_stream_is_never_begun(native_site: Site, ledger: Ledger, ann: Any) -> None:
    answer = native_site.get(streaming(native_site, estimate="1.1"), user=ann)

    assert (answer.status, answer.json["scope"]) == (429, "user")
    assert answer.budget[1] == "1"


@breaking_stream
@either
def test_a_generator_that_raises_gives_its_hold_back(
    site: Site, ledger: Ledger, ann: Any, warnings_of_the_app: list[str]
) -> None:
    def broken(request: Any) -> Any:
        yield b"one "
        raise LookupError("the model hung up")

    with pytest.raises(LookupError, match="the model hung up"):
        site.get(streaming(site, broken), user=ann)

    assert ledger.of(ann) == ("0", "0")
    assert warnings_of_the_app == []  # it failed: that it charged nothing is no surprise


@either
def test_a_generator_may_charge_at_its_end(site: Site, ledger: Ledger, ann: Any) -> None:
    def careful(request: Any) -> Any:
        try:
            yield b"one "
            yield b"two"
        finally:
            yield charge(request, "0.2")

    assert site.get(streaming(site, careful), user=ann).body == b"one two"
    assert ledger.of(ann) == ("0.2", "0")


@breaking_stream
@either
def test_a_generator_that_raises_may_charge_all_the_same(site: Site, ledger: Ledger, ann: Any) -> None:
    def broken(request: Any) -> Any:
        try:
            yield b"one "
            raise LookupError
        finally:
            yield charge(request, "0.2")

    with pytest.raises(LookupError):
        site.get(streaming(site, broken), user=ann)

    assert ledger.of(ann) == ("0.2", "0")


def test_a_generator_knows_its_hold_and_its_project(native_site: Site, ledger: Ledger, ann: Any) -> None:
    def curious(request: Any) -> Any:
        accounts = yield do(request.budget, "status")
        yield f"{request.budget.hold.amount} {[item.scope for item in accounts]}".encode()
        yield charge(request)

    view = streaming(native_site, curious, project=lambda request: "apollo")

    assert native_site.get(view, user=ann).body == b"0.5 ['user', 'project', 'global']"
    assert ledger.of(ann, "apollo", scope="project") == ("0.2", "0")


@either
def test_calls_within_a_stream_have_holds_of_their_own(site: Site, ledger: Ledger, ann: Any) -> None:
    @site.budgeted(estimate="0.3")
    def inner(request: Any) -> Any:
        yield charge(request, "0.3")
        return ledger.of(ann)

    def outer(request: Any) -> Any:
        spent, held = yield call(inner, request)
        yield f"{spent}/{held} ".encode()
        yield charge(request, "0.2")
        spent, held = ledger.of(ann)
        yield f"{spent}/{held}".encode()

    assert site.get(streaming(site, outer), user=ann).body == b"0.3/0.5 0.5/0.3"
    assert ledger.of(ann) == ("0.5", "0")


@either
def test_a_stream_may_be_held_twice(site: Site, ledger: Ledger, ann: Any) -> None:
    seen: list[Any] = []

    def body(request: Any) -> Any:
        seen.append((ledger.of(ann), f"{request.budget.hold.amount}"))
        yield b"one"
        yield charge(request)

    view = budgeted(estimate="0.3")(streaming(site, body))

    assert site.get(view, user=ann).body == b"one"
    assert seen == [(("0", "0.8"), "0.5")]
    assert ledger.of(ann) == ("0.2", "0")


def test_a_stream_under_a_view_that_is_refused_later_is_closed(native_site: Site, ledger: Ledger, ann: Any) -> None:
    inner = streaming(native_site)

    @native_site.view
    def view(request: Any) -> Any:
        response = yield call(inner, request)
        try:
            yield do(service, "reserve", ann.pk, amount="2")
        finally:
            response.close()

    assert native_site.get(view, user=ann).status == 429
    settle(native_site)
    assert ledger.of(ann) == ("0", "0")


def settle(site: Site) -> None:
    """Let the loop do what was left to it."""
    site.runner.run(_nothing())


async def _nothing() -> None:
    for task in list(streams._closing):
        await task


@either
def test_a_file_is_a_stream(site: Site, ledger: Ledger, ann: Any) -> None:
    file = BytesIO(b"a picture")

    @site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        yield charge(request)
        return FileResponse(file, filename="picture.png")

    answer = site.get(view, user=ann)

    assert (answer.body, answer.headers["Content-Length"]) == (b"a picture", "9")
    assert file.closed
    assert ledger.of(ann) == ("0.2", "0")


@pytest.mark.parametrize(
    "middleware", ["django.middleware.gzip.GZipMiddleware", "django.middleware.http.ConditionalGetMiddleware"]
)
@pytest.mark.parametrize("place", [0, -1])
@either
def test_a_middleware_may_wrap_the_stream(site: Site, ledger: Ledger, ann: Any, middleware: str, place: int) -> None:
    others = list(site.settings.MIDDLEWARE)
    others.insert(place if place == 0 else len(others), middleware)
    site.settings.MIDDLEWARE = others

    answer = site.get(streaming(site), user=ann, accept_encoding="gzip")

    assert answer.status == 200
    assert ledger.of(ann) == ("0.2", "0")


# Long streams


def test_a_stream_that_takes_long_keeps_its_hold(
    native_site: Site, ledger: Ledger, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.configure(hold_ttl=100)
    now = [1_000.0]
    monkeypatch.setattr(purse, "monotonic", lambda: now[0])

    def passing(seconds: float) -> None:
        now[0] += seconds
        ledger.clock.move(seconds=seconds)

    def slow(request: Any) -> Any:
        for _ in range(8):
            passing(40)
            yield b"."
        yield charge(request, "0.2")

    @native_site.budgeted(estimate="0.5")
    def view(request: Any) -> Any:
        passing(40)
        return StreamingHttpResponse(native_site.stream(slow(request)))

    exchange = native_site.open(view, user=ann)
    for _ in range(8):
        assert exchange.chunk() == b"."
        sweep(ledger)
        assert ledger.of(ann) == ("0", "0.5")
    exchange.finish()

    assert ledger.of(ann) == ("0.2", "0")


def sweep(ledger: Ledger) -> None:
    """End holds that are past their deadline, as any process does now and then."""
    manager = service.manager()
    manager.ledger.run(manager.ledger.journal.sweep())
    ledger.settled()


def test_a_hold_that_cannot_be_extended_does_not_break_the_stream(
    native_site: Site, ledger: Ledger, ann: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.configure(hold_ttl=100)
    now = [1_000.0]
    monkeypatch.setattr(purse, "monotonic", lambda: now[0])

    def slow(request: Any) -> Any:
        yield charge(request, "0.2", final=True)  # the hold has ended
        for _ in range(3):
            now[0] += 60
            yield b"."

    assert native_site.get(streaming(native_site, slow), user=ann).body == b"..."
    assert ledger.of(ann) == ("0.2", "0")


def test_what_is_no_stream_of_a_view_is_left_alone(native_site: Site, ledger: Ledger, ann: Any) -> None:
    @native_site.view
    def view(request: Any) -> Any:
        return HttpResponse(b"".join([b"one ", b"two"]))

    assert native_site.get(view, user=ann).budget == (None, None, None)
