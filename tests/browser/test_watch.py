from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

if TYPE_CHECKING:
    from collections.abc import Callable

    from .visitor import Visitor


def test_the_admin_can_log_in_under_a_strict_policy(visit: Callable[..., Visitor]) -> None:
    page = visit().page
    answer = page.goto("/admin/login/")
    assert answer is not None
    assert "default-src 'self'" in answer.headers["content-security-policy"]
    expect(page.get_by_label("Username")).to_be_visible()


@pytest.mark.parametrize(
    ("attempt", "seen"),
    [
        ("() => document.body.setAttribute('style', 'color: red')", "style-src"),
        ("() => document.body.append(Object.assign(document.createElement('script'), {text: '1'}))", "script-src"),
        ("() => { new Image().src = 'http://127.0.0.1:9/' }", "img-src"),
        ("() => { console.error('told') }", "told"),
        ("() => { alert('said') }", "alert: said"),
        ("() => { setTimeout(() => { throw new Error('thrown') }) }", "thrown"),
        ("() => fetch('/nowhere/').then(() => undefined)", "status of 404"),
    ],
)
def test_what_goes_wrong_on_a_page_is_seen(visit: Callable[..., Visitor], attempt: str, seen: str) -> None:
    visitor = visit()
    visitor.page.goto("/admin/login/")
    visitor.page.evaluate(attempt)
    problems = visitor.leave()
    assert any(seen in problem for problem in problems)
    problems.clear()
