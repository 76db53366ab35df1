from __future__ import annotations

from base64 import b64encode
from typing import TYPE_CHECKING, Any, Final

import pytest
from playwright.sync_api import expect

from .pages import AdminPage, ChatPage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from playwright.sync_api import Browser, Page

    from .conftest import Stage
    from .visitor import Visitor

# What is on a screenshot: how many colours, and how bright it is on average, from 0 to 255.
LOOK: Final = """
async (url) => {
  const image = await createImageBitmap(await (await fetch(url)).blob());
  const canvas = new OffscreenCanvas(image.width, image.height).getContext("2d");
  canvas.drawImage(image, 0, 0);
  const pixels = canvas.getImageData(0, 0, image.width, image.height).data;
  const colours = new Set();
  let sum = 0;
  for (let at = 0; at < pixels.length; at += 4) {
    colours.add((pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2]);
    sum += pixels[at] + pixels[at + 1] + pixels[at + 2];
  }
  return { colours: colours.size, brightness: (sum / pixels.length) * 4 / 3 };
}
"""


def log_in(visitor: Visitor) -> Page:
    visitor.page.context.clear_cookies()
    visitor.page.goto("/login/")
    return visitor.page


def chat(visitor: Visitor) -> Page:
    page = ChatPage(visitor)
    page.send("What is a budget?")
    expect(page.costs).not_to_have_count(0)
    return visitor.page


def chat_over_budget(visitor: Visitor) -> Page:
    page = ChatPage(visitor)
    page.send_until_refused()
    return visitor.page


def refused_page(visitor: Visitor) -> Page:
    """What a browser gets that sends the form itself."""
    visitor.will_be_answered_with(429)
    page = ChatPage(visitor)
    page.page.evaluate("() => { document.getElementById('question').value = 'Hello'; document.forms.ask.submit() }")
    expect(visitor.page.get_by_role("heading", name="Budget used up")).to_be_visible()
    return visitor.page


def admin_list(visitor: Visitor) -> Page:
    AdminPage(visitor).open("userlimit")
    return visitor.page


def admin_form(visitor: Visitor) -> Page:
    AdminPage(visitor).open_limit("kim")
    return visitor.page


def admin_confirmation(visitor: Visitor) -> Page:
    admin = AdminPage(visitor)
    admin.open("userlimit")
    admin.choose(admin.row("kim"), "Boost for today…")
    return visitor.page


def admin_records(visitor: Visitor) -> Page:
    AdminPage(visitor).open("spendrecord")
    return visitor.page


def admin_overview(visitor: Visitor) -> Page:
    AdminPage(visitor).open_overview()
    return visitor.page


SCENES: Final[dict[Callable[[Visitor], Page], str]] = {
    log_in: "kim",
    chat: "kim",
    chat_over_budget: "lee",
    refused_page: "lee",
    admin_list: "admin",
    admin_form: "admin",
    admin_confirmation: "admin",
    admin_records: "admin",
    admin_overview: "admin",
}


@pytest.fixture(scope="module", autouse=True)
def users(stage: Stage) -> None:
    stage("set_up", {"kim": {"limit": "1"}, "lee": {"limit": "0.03"}})
    stage("charge", [{"user": "kim", "cost": "0.85", "project": "support"}])
    stage("charge", [{"user": "lee", "cost": "0.0295", "project": "support"}])


@pytest.fixture
def look(browser: Browser) -> Iterator[Callable[[Path], dict[str, Any]]]:
    """Tell how many colours a PNG file has and how bright it is."""
    page = browser.new_page()

    def measure(file: Path) -> dict[str, Any]:
        seen: dict[str, Any] = page.evaluate(LOOK, f"data:image/png;base64,{b64encode(file.read_bytes()).decode()}")
        return seen

    yield measure
    page.close()


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_a_page_is_light_by_day_and_dark_by_night(
    visit: Callable[..., Visitor],
    look: Callable[[Path], dict[str, Any]],
    tmp_path: Path,
    scene: Callable[[Visitor], Page],
) -> None:
    seen = {}
    for scheme in ("light", "dark"):
        page = scene(visit(SCENES[scene], color_scheme=scheme))
        file = tmp_path / f"{scene.__name__}-{scheme}.png"
        page.wait_for_load_state()
        page.screenshot(path=file)
        seen[scheme] = look(file)
    assert seen["light"]["brightness"] > 200
    assert seen["dark"]["brightness"] < 80
    assert min(seen["light"]["colours"], seen["dark"]["colours"]) > 50  # text has smooth edges
