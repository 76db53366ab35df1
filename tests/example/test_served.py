"""The demo as a newcomer meets it: a process that serves real pages to real clients until Ctrl-C."""

from __future__ import annotations

import json
import re
import signal
import socket
import time
from contextlib import closing, contextmanager
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ..serving import serving
from .places import EXAMPLE, Record, environment, manage, records_in, wait_for_the_end_of_the_keeper

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ..serving import Site

DELAY = "0.01"  # seconds between two words


@contextmanager
def demo(data: Path) -> Iterator[Site]:
    arguments = [str(EXAMPLE / "manage.py"), "demo", "--calls", "40", "--port", "{port}"]
    with serving(arguments, data, environment(EXAMPLE_DATA_DIR=str(data), EXAMPLE_PIECE_DELAY=DELAY)) as site:
        try:
            httpx.get(site.url, timeout=60, trust_env=False)  # it answers once it serves
        except httpx.HTTPError as error:
            raise AssertionError(f"The demo does not serve:\n{site.said()}") from error
        yield site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """One demo for the tests that leave it as it is but for their own user's spend."""
    with demo(tmp_path_factory.mktemp("demo")) as running:
        yield running


def password_of(who: str, site: Site) -> str:
    found: list[str] = re.findall(rf"log in as .*\b{who}\b.*password (\S+)$", site.said(), re.MULTILINE)
    return found[0]


class Visitor:
    """Someone with a browser of their own."""

    def __init__(self, client: httpx.Client) -> None:
        self.client = client

    def post(self, address: str, **form: str) -> httpx.Response:
        """Send the form of a page, with what it has hidden."""
        inputs = re.findall(r'<input type="hidden" name="([^"]+)" value="([^"]*)"', self.client.get(address).text)
        return self.client.post(address, data={**dict(inputs), **form})

    @contextmanager
    def asking(self, question: str) -> Iterator[httpx.Response]:
        """Send a message and yield the answer, whose body is still to come."""
        headers = {"X-CSRFToken": self.client.cookies["csrftoken"], "Accept": "application/problem+json"}
        with self.client.stream("POST", "/support/stream/", data={"question": question}, headers=headers) as response:
            yield response

    def ask(self, question: str) -> Decimal | dict[str, Any]:
        """Send a message and read the whole answer; return what it cost, or the problem."""
        with self.asking(question) as response:
            if response.status_code != 200:
                problem: dict[str, Any] = json.loads(response.read())
                return problem
            *_, last = map(json.loads, response.iter_lines())
            return Decimal(last["cost"])

    def used(self) -> Decimal:
        """Return what the bar shows: what is spent and what is held, in USD."""
        (now,) = re.findall(r'aria-valuenow="([\d.]+)"', self.client.get("/support/budget/").text)
        return Decimal(now)

    def settled(self) -> Decimal:
        """Return what the bar shows once nothing is held: the server notices in its own time that someone has gone."""
        deadline = time.monotonic() + 20
        while "reserved" in (page := self.client.get("/support/budget/").text):
            assert time.monotonic() < deadline, page
            time.sleep(0.02)
        return self.used()


@contextmanager
def visiting(site: Site, name: str) -> Iterator[Visitor]:
    """Log somebody in with the password that the demo printed."""
    with site.client(follow_redirects=True) as client:
        visitor = Visitor(client)
        page = visitor.post("/login/", username=name, password=password_of(name, site))
        assert f'<span class="who">{name}</span>' in page.text
        yield visitor


def test_a_newcomer_chats_until_refused_and_goes_on_when_the_limit_is_raised_elsewhere(site):
    with visiting(site, "alice") as alice:
        before = alice.used()
        costs = []
        while isinstance(answer := alice.ask("Who pays?"), Decimal):
            costs.append(answer)
        assert 3 <= len(costs) <= 15
        assert alice.used() == before + sum(costs)
        assert (answer["status"], answer["scope"]) == (429, "user")
        raise_limit(site.log.parent)
        assert isinstance(alice.ask("And now?"), Decimal)


def test_the_admin_is_open_to_the_admin_only(site):
    with visiting(site, "admin") as admin, visiting(site, "bob") as bob:
        assert "Site administration" in admin.client.get("/admin/").text
        assert 'href="/admin/"' in admin.client.get("/support/").text
        user = admin.client.get("/admin/auth/user/?q=bob").text
        (change,) = re.findall(r'href="(/admin/auth/user/\d+/change/)', user)
        assert 'name="budget_limits-0-amount_usd"' in admin.client.get(change).text
        assert bob.client.get("/admin/").url.path == "/admin/login/"
        assert 'href="/admin/"' not in bob.client.get("/support/").text


def test_static_files_are_served(site):
    with site.client() as client:
        styles = client.get("/static/chat/chat.css")
        assert (styles.status_code, styles.headers["Content-Type"].partition(";")[0]) == (200, "text/css")
        icon = client.get("/favicon.ico", follow_redirects=True)
        assert (icon.status_code, icon.headers["Content-Type"]) == (200, "image/svg+xml")


def test_who_is_blocked_is_told_so(site):
    with visiting(site, "dave") as dave:
        answer = dave.ask("Who pays?")
        assert isinstance(answer, dict)
        assert answer["title"] == "Budget blocked"


def test_who_goes_away_in_mid_stream_pays_for_what_was_said(site):
    with visiting(site, "carol") as carol:
        whole = carol.ask("Who pays?")
        before = carol.used()
        with carol.asking("Who pays?") as response:
            lines = response.iter_lines()
            assert "text" in json.loads(next(lines))
            held = carol.used() - before
        assert isinstance(whole, Decimal)
        assert held > whole
        assert 0 < carol.settled() - before < whole


def test_ctrl_c_in_the_middle_of_an_answer_ends_cleanly_and_loses_no_charge(tmp_path):
    with demo(tmp_path) as site, visiting(site, "alice") as alice:
        with alice.asking("Who pays?") as response:
            lines = response.iter_lines()
            next(lines)
            site.process.send_signal(signal.SIGINT)
            *_, last = map(json.loads, lines)  # it has some seconds to come to its end
        assert site.process.wait(30) == 0, site.said()
        assert site.said().rstrip().endswith("The site is closed.")
        assert "Traceback" not in site.said()
    wait_for_the_end_of_the_keeper(tmp_path / "valkey")
    assert records_in(tmp_path)[-1] == Record("gpt-4", Decimal(last["cost"]))


def test_a_port_that_is_taken_stops_the_demo_before_it_begins(tmp_path):
    with closing(socket.create_server(("127.0.0.1", 0))) as taken:
        port = taken.getsockname()[1]
        run = manage("demo", "--port", str(port), cwd=tmp_path, EXAMPLE_DATA_DIR=str(tmp_path))
    assert run.returncode == 1
    assert f"CommandError: Port {port} is taken. Name another: --port {port + 1}" in run.stderr
    assert not run.stdout
    assert "calls:" not in run.stderr


def test_a_model_without_a_price_stops_the_demo_before_it_begins(tmp_path):
    run = manage("demo", "--port", "0", cwd=tmp_path, EXAMPLE_DATA_DIR=str(tmp_path), EXAMPLE_MODEL="no-such-model")
    assert run.returncode == 1
    assert "CommandError: No price is known for model 'no-such-model'" in run.stderr
    assert "calls:" not in run.stderr


def raise_limit(data: Path) -> None:
    """Give Alice more, from another process, as an admin does."""
    more = "limit = UserLimit.objects.get(user__username='alice'); limit.amount_usd = 9; limit.save()"
    run = manage(
        "shell", "-c", f"from coreason_budget.models import UserLimit; {more}", cwd=data, EXAMPLE_DATA_DIR=str(data)
    )
    assert run.returncode == 0, run.stderr
