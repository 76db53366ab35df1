"""The pages of the example site as the tests use them: the chat and the admin."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import Locator

    from .visitor import Visitor

__all__ = ["AdminPage", "ChatPage"]


class ChatPage:
    """The chat, as someone who is logged in sees it."""

    def __init__(self, visitor: Visitor, project: str = "support") -> None:
        self.visitor = visitor
        self.page = visitor.page
        self.notice = self.page.get_by_role("alert")
        self.costs = self.page.get_by_text(re.compile(r"^cost \$0\.\d+$"))
        self.bar = self.page.get_by_role("region", name="Your budget")
        self.page.goto(f"/{project}/")
        self.page.locator("#ask[data-ready]").wait_for()

    def send(self, text: str) -> None:
        """Send a message and wait until it was answered or refused."""
        self.page.get_by_label("Your message").fill(text)
        self.page.get_by_role("button", name="Send").click()
        # The form is free again when the answer has ended; until then there is a button to stop it.
        expect(self.page.get_by_role("button", name="Stop")).to_be_hidden()

    def answered(self) -> int:
        """Return how many answers with a cost the page shows."""
        return self.costs.count()

    def send_until_refused(self, most: int = 10) -> int:
        """Send messages until one is refused, and return how many were answered before."""
        self.visitor.will_be_answered_with(429)
        for _ in range(most):
            self.send("What is a budget?")
            if self.notice.is_visible():
                return self.answered()
        raise AssertionError(f"None of {most} messages was refused.")


class AdminPage:
    """The admin, as someone who may see it sees it."""

    def __init__(self, visitor: Visitor) -> None:
        self.visitor = visitor
        self.page = visitor.page
        self.said = self.page.locator(".messagelist")

    def open(self, model: str) -> None:
        """Open the list of a model of the app."""
        self.page.goto(f"/admin/coreason_budget/{model}/")

    def row(self, text: str) -> Locator:
        """Return the row of the list in which there is a text."""
        return self.page.locator("#result_list tbody tr").filter(has_text=text)

    def choose(self, row: Locator, action: str) -> None:
        """Ask for an action on a row, which leads to a page that asks whether that is meant."""
        row.get_by_role("checkbox").check()
        self.page.get_by_label("Action:").select_option(action)
        self.page.locator(".actions button[name=index]").click()
        self.page.locator("body.budget-confirm").wait_for()

    def confirm(self, **answers: str) -> None:
        """Answer the questions of that page, and go on."""
        for label, answer in answers.items():
            self.page.get_by_label(label.capitalize()).fill(answer)
        self.page.locator(".budget-confirm .submit-row input[type=submit]").click()

    def open_overview(self, query: str = "") -> None:
        """Open the overview of spend, from the index of the app where no query is given."""
        if query:
            self.page.goto(f"/admin/coreason_budget/spendrecord/overview/{query}")
            return
        self.page.goto("/admin/coreason_budget/")
        self.page.get_by_role("link", name="Overview of spend").click()

    def open_limit(self, username: str) -> None:
        """Open the form of a user's limit."""
        self.open("userlimit")
        self.page.get_by_role("link", name=username, exact=True).click()
        self.page.locator("body.change-form").wait_for()

    def save_limit(self, usd: str) -> None:
        """Enter an amount in the form of a limit and save it."""
        self.page.get_by_label("Limit (USD):", exact=True).fill(usd)
        self.page.get_by_role("button", name="Save", exact=True).click()
