from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest

from .views import TICK

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Served

TIMEOUT: Final = 2.0  # as in the settings of the site
BOUND: Final = 2 * TIMEOUT + 0.1 + 0.5  # seconds: the promise, and what a loaded machine and HTTP add
SOON: Final = 20.0


def eventually(look: Callable[[], dict[str, Any]], **expected: Any) -> dict[str, Any]:
    """Look again until what is seen is as expected, and return all of it."""
    deadline = time.monotonic() + SOON
    while True:
        seen = look()
        if seen | expected == seen:
            return seen
        assert time.monotonic() < deadline, f"{seen} is not {expected}"
        time.sleep(0.02)


@pytest.mark.parametrize("view", ["ask", "aask"])
def test_an_answer_tells_what_it_cost_and_what_is_left(client: httpx.Client, view: str) -> None:
    answers = [client.get(f"/{view}/") for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 200]
    assert [answer.json() for answer in answers] == [{"charged": "0.1"}] * 2
    assert [answer.headers["X-Budget-Cost-USD"] for answer in answers] == ["0.1", "0.1"]
    assert [answer.headers["X-Budget-Remaining-USD"] for answer in answers] == ["0.9", "0.8"]
    reset = datetime.fromisoformat(answers[1].headers["X-Budget-Reset"])
    assert timedelta(0) < reset - datetime.now(UTC) <= timedelta(days=1)


@pytest.mark.parametrize("view", ["ask", "aask", "two_parts", "atwo_parts"])
def test_who_has_spent_it_all_is_told_when_it_resets(client: httpx.Client, view: str) -> None:
    passed = [client.get("/ask/").status_code for _ in range(10)]
    before = datetime.now(UTC)
    refused = client.get(f"/{view}/")
    assert [*passed, refused.status_code] == [200] * 10 + [429]
    assert refused.headers["Content-Type"] == "application/problem+json"
    problem = refused.json()
    wait = datetime.fromisoformat(problem["resets_at"]) - before
    assert abs(int(refused.headers["Retry-After"]) - wait.total_seconds()) <= 2
    assert problem["retry_after"] == int(refused.headers["Retry-After"])
    assert (problem["scope"], problem["limit_usd"], problem["spent_usd"]) == ("user", "1", "1")


def test_sixty_four_at_once_get_exactly_what_the_limit_allows(served: Served, user: str) -> None:
    limits = httpx.Limits(max_connections=64)
    with served.client_of(user, limits=limits) as client, ThreadPoolExecutor(64) as pool:
        views = ["/ask/", "/aask/"] * 32
        answered = Counter(pool.map(lambda view: client.get(view).status_code, views))
    assert answered == {200: 10, 429: 54}
    eventually(lambda: served.standing(user), spent="1", held="0", recorded="1")


def test_a_stream_keeps_its_hold_until_it_has_ended(served: Served, client: httpx.Client, user: str) -> None:
    gate = served.gate(user)
    with client.stream("GET", f"/{served.streaming}two_parts/") as answer:
        parts = answer.iter_text()
        first = next(parts)
        meanwhile = served.standing(user)
        gate.write_text("")
        rest = "".join(parts)
    assert (answer.status_code, first, rest) == (200, "first ", "second")
    assert "X-Budget-Cost-USD" not in answer.headers
    assert (meanwhile["spent"], meanwhile["held"]) == ("0", "0.1")
    eventually(lambda: served.standing(user), spent="0.02", held="0", recorded="0.02")


@pytest.mark.parametrize("view", ["two_parts", "atwo_parts"])
def test_a_stream_that_django_reads_first_is_charged_too(
    served: Served, client: httpx.Client, user: str, view: str
) -> None:
    gate = served.gate(user)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(client.get, f"/{view}/")
        gate.write_text("")  # waits until the view is there
    assert (answer.result().status_code, answer.result().text) == (200, "first second")
    eventually(lambda: served.standing(user), spent="0.02", held="0", recorded="0.02")


def test_a_reader_who_goes_in_mid_stream_pays_for_what_was_said(
    served: Served, client: httpx.Client, user: str
) -> None:
    with client.stream("GET", f"/{served.streaming}endless/") as answer:
        lines = answer.iter_lines()
        heard = [next(lines) for _ in range(3)]
        assert served.standing(user)["held"] == "0.1"
    assert heard == ["tick"] * 3
    seen = eventually(lambda: served.standing(user), held="0")
    assert seen["said"] >= 3
    assert Decimal(seen["spent"]) == seen["said"] * TICK
    eventually(lambda: served.standing(user), recorded=seen["spent"])


@pytest.mark.parametrize("view", ["ask", "aask", "two_parts", "atwo_parts"])
def test_without_redis_the_answer_is_503_in_bounded_time(
    served: Served, client: httpx.Client, user: str, view: str
) -> None:
    assert client.get("/ask/").status_code == 200
    eventually(lambda: served.standing(user), recorded="0.1")
    served.redis.kill()
    try:
        start = time.monotonic()
        refused = client.get(f"/{view}/")
        took = time.monotonic() - start
    finally:
        served.redis.start()
    assert refused.status_code == 503
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert int(refused.headers["Retry-After"]) == refused.json()["retry_after"] > 0
    assert took <= BOUND
    again = client.get("/ask/")  # the server came back empty
    assert again.status_code == 200
    assert again.headers["X-Budget-Remaining-USD"] == "0.8"
