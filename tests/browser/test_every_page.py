"""Every page of the app: by day and by night, on every screen, in both directions, with the keyboard, for a reader."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import pytest
from playwright.sync_api import expect

from .pages import AdminPage, ChatPage
from .screens import WIDTHS, hurdles, is_reached_by_tabbing, wait_until_it_fits
from .stage import PASSWORD
from .visitor import Visitor

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from playwright.sync_api import Browser, Page, ViewportSize

    from ..serving import Site
    from .conftest import Stage

LONG: Final = "averylongnamewithoutanyspaceinit" * 4
SAVE: Final = "input[name=_save]"
GO: Final = ".actions button[name=index]"
CONFIRM: Final = ".budget-confirm .submit-row input[type=submit]"
LOOK: Final = "#content-main .submit-row input[type=submit]"
TOOL: Final = ".budget-tool button"
PAPER: Final[ViewportSize] = {"width": 793, "height": 1122}  # A4, in CSS pixels

#: One with long words, and one that is written from right to left, in which our texts are English.
LANGUAGES: Final = {"es": "ltr", "he": "rtl"}

#: Pages, and parts of pages, that are Django's own: its filters are lower than 24 px, its search box has no name.
PAGES_OF_DJANGO: Final = {"delete", "history"}
DJANGOS: Final = ("#changelist-filter ul", ".select2-container")


@dataclass(frozen=True, slots=True)
class Stop:
    """A page: how to get there, and what somebody comes for."""

    open: Callable[[Visitor, dict[str, str]], None]
    action: str = ""
    part: str = "#content"
    who: str = "admin"
    is_translated: bool = True


def at(name: str, action: str, query: str = "") -> Stop:
    def open_it(visitor: Visitor, addresses: dict[str, str]) -> None:
        visitor.page.goto(addresses[name] + query)

    return Stop(open_it, action)


def log_in(visitor: Visitor, addresses: dict[str, str]) -> None:
    visitor.page.goto("/login/")


def index(visitor: Visitor, addresses: dict[str, str]) -> None:
    visitor.page.goto("/admin/coreason_budget/")


def asked(model: str, row: str, action: str) -> Stop:
    """The page that asks whether an action is meant."""

    def open_it(visitor: Visitor, addresses: dict[str, str]) -> None:
        admin = AdminPage(visitor)
        admin.open(model)
        admin.choose(admin.row(row), action)

    return Stop(open_it, CONFIRM)


def refused(visitor: Visitor, addresses: dict[str, str]) -> None:
    """What a browser gets that sends the form of the chat itself."""
    visitor.will_be_answered_with(429)
    page = ChatPage(visitor).page
    page.evaluate("() => { document.getElementById('question').value = 'Hello'; document.forms.ask.submit() }")
    expect(page.get_by_role("heading", name="Budget used up")).to_be_visible()


def unavailable(visitor: Visitor, addresses: dict[str, str]) -> None:
    visitor.will_be_answered_with(503)
    visitor.page.goto("/unavailable/")
    expect(visitor.page.get_by_role("heading", name="Budget unavailable")).to_be_visible()


def refused_chat(visitor: Visitor, addresses: dict[str, str]) -> None:
    visitor.will_be_answered_with(429)
    chat = ChatPage(visitor)
    chat.send("Hello")
    expect(chat.notice).to_be_visible()


def refusal(visitor: Visitor, addresses: dict[str, str]) -> None:
    """The latest refused calls, with what is known of one of them."""
    visitor.page.goto(addresses["refusals"])
    visitor.page.get_by_role("row").filter(has_text="quirin").get_by_role("link").first.click()
    visitor.page.locator(".budget-decision").wait_for()


STOPS: Final = {
    "log in": Stop(log_in, "button", "html", who="", is_translated=False),
    "index": Stop(index, ".budget-overview-link a"),
    "overview": at("overview", "#content-main form button"),
    "overview of a user": at("overview", "#content-main form button", "?by=project&user=quirin"),
    "overview of wrong days": at("overview", "#content-main form button", "?from=2026-03-03&until=2026-02-02"),
    **{f"{model}_changelist": at(f"{model}_changelist", GO) for model in ("userlimit", "projectlimit", "globallimit")},
    **{f"{model}_add": at(f"{model}_add", SAVE) for model in ("userlimit", "projectlimit", "globallimit")},
    **{f"{model}_change": at(f"{model}_change", SAVE) for model in ("userlimit", "projectlimit", "globallimit")},
    **{f"{model}_import": at(f"{model}_import", LOOK) for model in ("userlimit", "projectlimit", "globallimit")},
    "modelprice_changelist": at("modelprice_changelist", GO),
    "modelprice_add": at("modelprice_add", SAVE),
    "modelprice_change": at("modelprice_change", SAVE),
    "models": at("models", "#content-main td a"),
    "spendrecord_changelist": at("spendrecord_changelist", GO),
    "spendrecord_change": at("spendrecord_change", TOOL),
    "refusals": Stop(refusal, "#content-main form button"),
    "block_now": asked("userlimit", "quirin", "block_now"),
    "remove_override": asked("userlimit", "quirin", "remove_override"),
    "boost_today": asked("projectlimit", LONG, "boost_today"),
    "reset_window": asked("userlimit", "quirin", "reset_window"),
    "refund": asked("spendrecord", "quirin's first", "refund"),
    "chat": Stop(refused_chat, "#send", "html", "rufus", is_translated=False),
    "429": Stop(refused, "", "html", "rufus"),
    "503": Stop(unavailable, "", "html"),
}


@pytest.fixture(scope="module", autouse=True)
def everything(stage: Stage) -> dict[str, str]:
    """A row of every kind, and the addresses of all pages."""
    stage("set_up", {"quirin": {"limit": "1"}, "rufus": {"limit": "0.02"}, LONG: {"limit": None}})
    stage("limit_project", {LONG: "5"})
    stage("limit_site", {"week": "1000"})
    stage("price", {LONG: "2.5"})
    stage("charge", [{"user": "quirin", "cost": "0.85", "project": LONG, "model": LONG, "charge_id": "quirin's first"}])
    stage("charge", [{"user": "rufus", "cost": "0.0199"}])
    stage("ask_for", [LONG[1:]])
    stage("refuse", [{"user": "quirin", "project": LONG, "amount": "5"}])
    found: dict[str, str] = stage("pages", None)
    return found


def test_no_page_of_the_app_is_left_out(everything: dict[str, str], stage: Stage) -> None:
    pages = {name for name in everything if name.rpartition("_")[2] not in PAGES_OF_DJANGO}
    files = {f"{model}_export" for model in ("userlimit", "projectlimit", "globallimit")}
    assert pages - {*STOPS} == {"spendrecord_add", *files}  # the first nobody may
    assert {*stage("actions", None)} - {*STOPS} == {"export_csv"}  # which is a file


@pytest.fixture(scope="module")
def visitors(site: Site, browser: Browser) -> Iterator[Callable[[str], Visitor]]:
    """Return who is logged in under a name, from one test to the next: logging in takes longer than looking."""
    known: dict[str, Visitor] = {}

    def visitor_named(name: str) -> Visitor:
        if name not in known:
            known[name] = Visitor(browser.new_context(base_url=site.url, locale="en-GB", timezone_id="UTC"))
            if name:
                known[name].log_in(name, PASSWORD)
        return known[name]

    yield visitor_named
    for visitor in known.values():
        visitor.leave()


@pytest.fixture
def opened(visitors: Callable[[str], Visitor], everything: dict[str, str], name: str) -> Iterator[Page]:
    """Return a page on a laptop's screen. The test fails if an error is logged on it, or its policy broken."""
    stop = STOPS[name]
    visitor = visitors(stop.who)
    visitor.page.emulate_media(media="screen", color_scheme="light")
    visitor.page.set_viewport_size({"width": 1366, "height": 900})
    visitor.speak("en")
    stop.open(visitor, everything)
    visitor.page.evaluate("() => document.querySelectorAll('details').forEach((each) => { each.open = true })")
    yield visitor.page
    visitor.settle()
    assert visitor.problems == []


@pytest.mark.parametrize("name", STOPS)
def test_everybody_can_use_it_everywhere(opened: Page, visitors: Callable[[str], Visitor], name: str) -> None:
    page, stop = opened, STOPS[name]

    assert hurdles(page, stop.part, but=DJANGOS) == []
    if stop.action:
        assert is_reached_by_tabbing(page, stop.action)
    for width in WIDTHS:
        page.set_viewport_size({"width": width, "height": 900})
        wait_until_it_fits(page)
    page.emulate_media(media="print")
    page.set_viewport_size(PAPER)
    wait_until_it_fits(page)

    page.emulate_media(media="screen")
    for language, direction in LANGUAGES.items() if stop.is_translated else ():
        visitors(stop.who).speak(language)
        page.reload()
        assert page.locator("html").get_attribute("dir") == direction
        for width in (320, 1366):
            page.set_viewport_size({"width": width, "height": 900})
            wait_until_it_fits(page)
