"""The overview as somebody from finance uses it: with eyes or without, on a phone or a wall, without scripts too."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.sync_api import expect

from .pages import AdminPage
from .screens import WIDTHS, wait_until_it_fits

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Locator, Page

    from .conftest import Stage
    from .visitor import Visitor

HOSTILE: Final = "<svg onload=alert(7)>"
TURNED: Final = "payroll\N{RIGHT-TO-LEFT OVERRIDE}fdp.exe"
LONG: Final = "p" * 200
A_MINUTE: Final = 61_000  # milliseconds, and a bit


@pytest.fixture(scope="module", autouse=True)
def spends(stage: Stage) -> None:
    stage("set_up", {"olga": {"limit": "1"}, "pia": {"limit": "0"}, HOSTILE: {"limit": "0.5"}})
    spends = [
        ("olga", "0.853456789", "support", "gpt-4o"),
        ("olga", "0.002", LONG, "gpt-4o-mini"),
        ("pia", "0.1", TURNED, "claude-haiku-4-5"),
        (HOSTILE, "0.6", HOSTILE, HOSTILE),
    ]
    stage("charge", [dict(zip(("user", "cost", "project", "model"), spend, strict=True)) for spend in spends])
    stage("hold", [{"user": "olga", "amount": "0.05", "project": "support"}])


@pytest.fixture
def watched(visit: Callable[..., Visitor]) -> Page:
    """Return the overview in a browser whose clock the test moves on."""
    visitor = visit("admin")
    visitor.page.clock.install()
    AdminPage(visitor).open_overview()
    expect(visitor.page.get_by_role("button", name="Refresh by itself")).to_be_visible()
    return visitor.page


@pytest.fixture
def overview(visit: Callable[..., Visitor]) -> Callable[..., Page]:
    def open_it(query: str = "", **options: Any) -> Page:
        admin = AdminPage(visit("admin", **options))
        admin.open_overview(query)
        expect(admin.page.get_by_role("heading", name="Overview of spend")).to_be_visible()
        return admin.page

    return open_it


def today(page: Page) -> Locator:
    return page.locator(".budget-tile").filter(has_text="Today").locator(".budget-large data")


def test_the_figures_are_the_records_and_hostile_names_do_nothing(overview: Callable[..., Page], stage: Stage) -> None:
    page = overview()

    assert today(page).get_attribute("value") == stage("spent_today", None)
    users = page.get_by_role("region", name="Top users").get_by_role("row")
    expect(users.filter(has_text="olga")).to_contain_text("$0.855456789")
    expect(users.filter(has_text="pia")).to_contain_text("Blocked")
    expect(users.filter(has_text=HOSTILE)).to_contain_text("$0.60 of $0.50")
    projects = page.get_by_role("region", name="Top projects")
    expect(projects.get_by_role("link", name="payroll⟨U+202E⟩fdp.exe")).to_be_visible()
    projects.get_by_role("link", name=HOSTILE).click()
    expect(page.locator(".budget-named")).to_have_text(f"Project: {HOSTILE}")
    expect(page.locator(".budget-summary .budget-large")).to_have_text("$0.60")


def test_its_charts_are_whole_on_every_screen_in_both_directions(overview: Callable[..., Page]) -> None:
    page = overview()

    for direction, width in product(("ltr", "rtl"), WIDTHS):
        page.evaluate("(direction) => { document.documentElement.dir = direction }", direction)
        page.set_viewport_size({"width": width, "height": 900})
        wait_until_it_fits(page)
        for chart in page.locator(".budget-columns").all():
            box = chart.bounding_box()
            assert box is not None
            assert box["width"] > 150
            assert box["x"] >= 0
            assert box["x"] + box["width"] <= width


@pytest.mark.parametrize(
    ("scheme", "medium", "first"),
    [
        ("light", "screen", "rgb(31, 111, 180)"),
        ("dark", "screen", "rgb(107, 176, 240)"),
        ("dark", "print", "rgb(31, 111, 180)"),  # paper is white
    ],
)
def test_each_part_of_a_chart_has_a_colour_of_its_own(
    overview: Callable[..., Page], scheme: str, medium: Any, first: str
) -> None:
    page = overview(color_scheme=scheme)
    page.emulate_media(media=medium)

    keys = page.locator(".budget-chart-by-day .budget-legend rect")
    expect(keys.first).to_have_css("fill", first)
    colours = keys.evaluate_all("(all) => all.map((e) => getComputedStyle(e).fill)")

    assert len(set(colours)) == len(colours) > 2


def test_names_of_calls_in_flight_are_not_broken_on_a_phone(overview: Callable[..., Page]) -> None:
    page = overview()
    page.set_viewport_size({"width": 320, "height": 900})

    name = page.get_by_role("region", name="Calls in flight").locator("td .budget-name", has_text="support").first

    assert name.evaluate("(name) => name.getClientRects()[0].height < 2 * parseFloat(getComputedStyle(name).fontSize)")


def test_what_is_held_is_as_large_on_paper_as_what_is_spent(overview: Callable[..., Page]) -> None:
    page = overview("?user=olga")
    page.emulate_media(media="print")

    cell = page.get_by_role("region", name="Top users").first.locator(".budget-now-row")
    sizes = {
        cell.locator(part).first.evaluate("(part) => getComputedStyle(part).fontSize")
        for part in (".budget-figure", ".budget-held", ".budget-per")
    }

    assert sizes == {"10px"}


def test_it_is_used_with_the_keyboard_alone(overview: Callable[..., Page]) -> None:
    page = overview()

    page.get_by_role("link", name="By project").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("link", name="By project")).to_have_attribute("aria-current", "true")
    summary = page.locator("#by-day-table summary")
    summary.focus()
    page.keyboard.press("Enter")
    table = page.get_by_role("group", name="Spend per day")
    expect(table.get_by_role("columnheader", name="support")).to_be_visible()
    page.keyboard.press("Tab")
    expect(table).to_be_focused()


def test_without_scripts_there_is_all_but_the_refreshing(overview: Callable[..., Page], stage: Stage) -> None:
    page = overview(java_script_enabled=False)

    assert today(page).get_attribute("value") == stage("spent_today", None)
    page.locator("#by-hour-table summary").click()
    expect(page.get_by_role("group", name="Spend per hour today")).to_be_visible()
    expect(page.get_by_role("button", name="Refresh by itself")).to_be_hidden()
    page.get_by_role("textbox", name="Project").fill("support")
    page.get_by_role("button", name="Show", exact=True).click()
    expect(page.locator(".budget-named")).to_have_text("Project: support")


def test_it_comes_up_to_date_by_itself_and_disturbs_nobody(watched: Page, stage: Stage) -> None:
    page = watched
    summary = page.locator("#by-hour-table summary")
    summary.focus()
    page.keyboard.press("Enter")
    before = today(page).get_attribute("value")

    stage("charge", [{"user": "olga", "cost": "0.000000001"}])
    page.clock.fast_forward(A_MINUTE)

    expect(today(page)).not_to_have_attribute("value", str(before))
    assert today(page).get_attribute("value") == stage("spent_today", None)
    expect(page.get_by_role("group", name="Spend per hour today")).to_be_visible()
    expect(summary).to_be_focused()


def test_it_stays_as_it_is_when_told_to(watched: Page, stage: Stage) -> None:
    page = watched
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    button = page.get_by_role("button", name="Refresh by itself")

    button.click()
    expect(button).to_have_attribute("aria-pressed", "false")
    page.clock.fast_forward(3 * A_MINUTE)
    assert asked == []

    stage("charge", [{"user": "olga", "cost": "0.000000001"}])
    button.click()
    expect(today(page)).to_have_attribute("value", stage("spent_today", None))


def test_who_is_logged_out_meanwhile_is_told_that_the_figures_are_old(watched: Page) -> None:
    watched.context.clear_cookies()

    watched.clock.fast_forward(A_MINUTE)

    expect(watched.get_by_role("status")).to_contain_text("could not be refreshed")
