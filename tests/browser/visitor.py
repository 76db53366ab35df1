"""``Visitor``: one browser session, of which nothing that goes wrong on a page stays unseen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from playwright.sync_api import expect

if TYPE_CHECKING:
    from playwright.sync_api import BrowserContext, ConsoleMessage, Dialog, Page

__all__ = ["Visitor"]

TIMEOUT: Final = 60_000  # milliseconds; the first answer imports litellm: seconds, and more where it is compiled first
expect.set_options(timeout=TIMEOUT)

# What breaks the policy is told to the page; Chromium writes it to the console too, but not in every case as an error.
REPORT_VIOLATIONS: Final = """
addEventListener("securitypolicyviolation", (event) => {
  const { violatedDirective, blockedURI, sourceFile, lineNumber } = event;
  console.error(`CSP: ${violatedDirective} forbids ${blockedURI} at ${sourceFile}:${lineNumber}`);
});
"""

# A violation is reported, and an error thrown, a task later.
AFTER_WHAT_IS_QUEUED: Final = "() => new Promise((resolve) => setTimeout(resolve, 20))"


class Visitor:
    """A browser session: its page, and what went wrong on it."""

    def __init__(self, context: BrowserContext, *, has_scripts: bool = True) -> None:
        self._context = context
        self._has_scripts = has_scripts
        self._refusals: set[int] = set()
        self.problems: list[str] = []
        context.set_default_timeout(TIMEOUT)
        context.add_init_script(REPORT_VIOLATIONS)
        context.on("console", self._read_console)
        context.on("dialog", self._read_dialog)
        context.on("weberror", lambda error: self.problems.append(f"uncaught: {error.error}"))
        self.page: Page = context.new_page()

    def log_in(self, username: str, password: str) -> None:
        """Log in on the site's own page."""
        self.page.goto("/login/")
        self.page.get_by_label("Username").fill(username)
        self.page.get_by_label("Password").fill(password)
        self.page.get_by_role("button", name="Log in").click()
        expect(self.page.get_by_role("button", name="Log out")).to_be_visible()

    def speak(self, language: str) -> None:
        """Have pages in a language from now on: ``es``."""
        cookie = {"name": "django_language", "value": language, "domain": "127.0.0.1", "path": "/"}
        self._context.add_cookies([cookie])  # type: ignore[list-item]  # a TypedDict whose members are optional

    def will_be_answered_with(self, status: int) -> None:
        """Announce a refusal, which Chromium logs as an error: 429."""
        self._refusals.add(status)

    def leave(self) -> list[str]:
        """Close the session, if it is open, and return what went wrong in it."""
        self.settle()
        self._context.close()
        return self.problems

    def settle(self) -> None:
        """Wait until what is wrong with the pages by now has been told."""
        for page in self._context.pages if self._has_scripts else ():
            page.evaluate(AFTER_WHAT_IS_QUEUED)

    def _read_dialog(self, dialog: Dialog) -> None:
        self.problems.append(f"{dialog.type}: {dialog.message}")
        dialog.dismiss()

    def _read_console(self, message: ConsoleMessage) -> None:
        is_about_policy = "Content Security Policy" in message.text
        if message.type != "error" and not is_about_policy:
            return
        if any(f"responded with a status of {status}" in message.text for status in self._refusals):
            return
        self.problems.append(f"{message.location['url']}: {message.text}")
