"""From the page that refuses to the page that says why: read out by a visitor, typed by an administrator."""

from __future__ import annotations

import re
from itertools import product
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.sync_api import expect

from .pages import AdminPage, ChatPage
from .screens import WIDTHS, hurdles, wait_until_it_fits

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from .conftest import Stage
    from .visitor import Visitor

HOSTILE: Final = "<svg onload=alert(8)>"
LONG: Final = "q" * 200


@pytest.fixture(scope="module", autouse=True)
def refused(stage: Stage) -> list[str]:
    """Have calls refused; return their references."""
    stage("set_up", {"quin": {"limit": "1"}, "rosa": {"limit": "0"}, HOSTILE: {"limit": "0.5"}})
    calls = [
        ("quin", "5", "support", "/ask/"),
        ("rosa", "0.1", LONG, f"/{LONG}"),
        (HOSTILE, "0.75", HOSTILE, "/\N{RIGHT-TO-LEFT OVERRIDE}<script>alert(9)</script>"),
    ]
    names = ("user", "amount", "project", "path")
    references: list[str] = stage("refuse", [dict(zip(names, call, strict=True)) for call in calls])
    assert len(references) == 3
    return references


@pytest.fixture
def opened(visit: Callable[..., Visitor]) -> Callable[..., Page]:
    def open_it(query: str = "", **options: Any) -> Page:
        page = visit("admin", **options).page
        page.goto(f"/admin/coreason_budget/spendrecord/refusals/{query}")
        expect(page.get_by_role("heading", name="Why calls were refused")).to_be_visible()
        return page

    return open_it


def test_what_a_visitor_reads_out_leads_an_administrator_to_the_decision(
    visit: Callable[..., Visitor], stage: Stage
) -> None:
    stage("set_up", {"sue": {"limit": "0.0000001"}})
    chat = ChatPage(visit("sue"))
    chat.send_until_refused(1)
    notice = chat.notice.inner_text()
    [reference] = re.findall(r"Reference for administrators: (\S{11})", notice)

    page = visit("admin").page
    page.goto("/admin/coreason_budget/")
    page.get_by_role("link", name="Why calls were refused").click()
    page.get_by_label("Reference").fill(reference.lower().replace("-", " "))
    page.get_by_role("button", name="Find").click()

    decision = page.get_by_role("region", name=reference)
    expect(decision).to_contain_text("User: sue")
    expect(decision).to_contain_text("The call may cost more than the whole limit.")
    decision.get_by_role("link", name="User: sue").click()
    expect(page.locator("#result_list tbody tr").filter(has_text="sue")).to_be_visible()


@pytest.mark.parametrize("number", [0, 2], ids=["a decision", "a hostile one"])
def test_it_keeps_the_rules_for_accessible_pages(opened: Callable[..., Page], refused: list[str], number: int) -> None:
    assert hurdles(opened(f"?reference={refused[number]}"), "#content-main") == []


@pytest.mark.parametrize("query", ["?reference=3KF-90T-VX1", "?reference=nonsense"])
def test_what_is_not_found_is_said_accessibly(opened: Callable[..., Page], query: str) -> None:
    page = opened(query)

    expect(page.get_by_role("status")).to_contain_text("Refused calls are kept for 7 days")
    assert hurdles(page, "#content-main") == []


def test_long_names_fit_every_screen_in_both_directions(opened: Callable[..., Page], refused: list[str]) -> None:
    page = opened(f"?reference={refused[1]}")

    for direction, width in product(("ltr", "rtl"), WIDTHS):
        page.evaluate("(direction) => { document.documentElement.dir = direction }", direction)
        page.set_viewport_size({"width": width, "height": 900})
        wait_until_it_fits(page)


def test_hostile_names_are_shown_as_they_are_and_do_nothing(opened: Callable[..., Page], refused: list[str]) -> None:
    page = opened(f"?reference={refused[2]}")

    decision = page.get_by_role("region", name=refused[2])
    expect(decision).to_contain_text(HOSTILE)
    expect(decision).to_contain_text("/⟨U+202E⟩<script>alert(9)</script>")


def test_the_overview_leads_there(visit: Callable[..., Visitor]) -> None:
    admin = AdminPage(visit("admin"))
    admin.open_overview()

    admin.page.get_by_role("link", name=re.compile(r"\d+ calls refused")).first.click()

    expect(admin.page.get_by_role("heading", name="Why calls were refused")).to_be_visible()
