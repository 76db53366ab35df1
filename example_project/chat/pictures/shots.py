"""What the pictures show: each is a page of the site as a browser has it, in one size and one scheme of colours."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

from playwright.sync_api import expect, sync_playwright

from .month import ADMIN, CHATTING, PASSWORD

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

__all__ = ["take_all"]

ADMIN_PAGES: Final = "/admin/coreason_budget"
OPTIONS: Final = ("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--no-first-run")
PATIENCE: Final = 60_000  # milliseconds; the first answer imports litellm


@dataclass(frozen=True, slots=True)
class Shot:
    """How to get to a page, who looks at it, and on what screen (pixels)."""

    show: Callable[[Page], None]
    who: str
    width: int
    height: int
    scheme: Literal["light", "dark"] = "light"


def take_all(address: str, chromium: str, folder: Path) -> Iterator[Path]:
    """Take the pictures of the site at an address into a folder, and yield each one's file."""
    expect.set_options(timeout=PATIENCE)
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=list(OPTIONS))
        for name, shot in PICTURES.items():
            file = folder / f"{name}.png"
            with _page(browser, address, shot) as page:
                shot.show(page)
                page.screenshot(path=file, animations="disabled", caret="hide")
            yield file


@contextmanager
def _page(browser: Browser, address: str, shot: Shot) -> Iterator[Page]:
    """Log in; the admin's own navigation is folded away, for it is not what is shown."""
    context = browser.new_context(
        base_url=address,
        viewport={"width": shot.width, "height": shot.height},
        color_scheme=shot.scheme,
        locale="en-GB",
        timezone_id="UTC",
    )
    context.set_default_timeout(PATIENCE)
    context.add_init_script("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
    try:
        page = context.new_page()
        page.goto("/login/")
        page.get_by_label("Username").fill(shot.who)
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Log in").click()
        expect(page.get_by_role("button", name="Log out")).to_be_visible()
        yield page
    finally:
        context.close()


def _overview(page: Page) -> None:
    page.goto(f"{ADMIN_PAGES}/spendrecord/overview/")


def _limits(page: Page) -> None:
    page.goto(f"{ADMIN_PAGES}/userlimit/")


def _refund(page: Page) -> None:
    page.goto(f"{ADMIN_PAGES}/spendrecord/")
    for number in range(3):
        page.locator("#result_list tbody tr").nth(number).get_by_role("checkbox").check()
    page.get_by_label("Action:").select_option("refund")
    page.locator(".actions button[name=index]").click()
    page.locator("body.budget-confirm").wait_for()


def _chat(page: Page) -> None:
    page.goto("/support/")
    page.locator("#ask[data-ready]").wait_for()
    for question in QUESTIONS:
        page.get_by_label("Your message").fill(question)
        page.get_by_role("button", name="Send").click()
        expect(page.get_by_role("button", name="Stop")).to_be_hidden()
    expect(page.get_by_role("alert").get_by_role("heading")).to_have_text("Budget used up")


QUESTIONS: Final = ("What does an answer cost me?", "Who else can spend from my budget?", "And one more?")

PICTURES: Final[dict[str, Shot]] = {
    "overview": Shot(_overview, ADMIN, 1280, 1180),
    "overview-dark": Shot(_overview, ADMIN, 1280, 1180, "dark"),
    "limits": Shot(_limits, ADMIN, 1280, 600),
    "refund": Shot(_refund, ADMIN, 1280, 600),
    "refused": Shot(_chat, CHATTING, 900, 800),
}
