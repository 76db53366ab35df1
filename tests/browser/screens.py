"""What a page has to be for everybody and on every screen: without hurdles, and no wider than the window."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from axe_playwright_python.sync_playwright import Axe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from playwright.sync_api import Page

__all__ = ["WIDTHS", "hurdles", "is_reached_by_tabbing", "wait_until_it_fits"]

#: Pixels: a small phone, a tablet, a laptop, a wall.
WIDTHS: Final = (320, 768, 1366, 3840)

#: The rules of WCAG 2.2, levels A and AA. Axe would preload style sheets by styles of its own, which no policy allows.
RULES: Final = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"], "preload": False}
CONTRAST: Final = {"runOnly": {"type": "rule", "values": ["color-contrast"]}, "preload": False}

# Colours fade into each other when the scheme changes.
STILL: Final = "() => Promise.allSettled(document.getAnimations().map((each) => each.finished))"


def hurdles(page: Page, part: str, *, but: Sequence[str] = ()) -> list[str]:
    """Return what axe finds in a part of a page that keeps people out, and where; by day, and of colours by night."""
    found = []
    for scheme, rules in (("light", RULES), ("dark", CONTRAST)):
        page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]  # it is one of those
        page.evaluate(STILL)
        found += _violations(page, {"include": [[part]], "exclude": [[each] for each in but]}, rules)
    return found


def _violations(page: Page, context: dict[str, Any], rules: dict[str, Any]) -> list[str]:
    found = Axe().run(page, context=context, options=rules)
    assert found.response["passes"] or found.response["violations"]  # it has looked at something
    return [
        f"{violation['id']} ({violation['impact']}): {node['html'][:200]} {node['failureSummary']}"
        for violation in found.response["violations"]
        for node in violation["nodes"]
    ]


def wait_until_it_fits(page: Page) -> None:
    """Wait until the page is not wider than the window; it may still be about to be laid out."""
    page.wait_for_function("() => document.documentElement.scrollWidth <= document.documentElement.clientWidth")


def is_reached_by_tabbing(page: Page, selector: str, most: int = 150) -> bool:
    """Tell whether the Tab key leads from the top of the page to an element that is seen."""
    page.evaluate("() => { document.activeElement?.blur(); window.scrollTo(0, 0) }")
    for _ in range(most):
        page.keyboard.press("Tab")
        if page.evaluate("(selector) => document.activeElement.matches(selector)", selector):
            return page.locator(selector).first.is_visible()
    return False
