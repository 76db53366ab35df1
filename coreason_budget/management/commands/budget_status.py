"""``manage.py budget_status``: what accounts have spent, and what is left of their limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from ...periods import Period, from_ms, window_at
from ...refusals.store import counts
from ...scopes import GLOBAL
from ..command import BudgetCommand, add_json_argument, add_subject_arguments, subjects_asked_for
from ..table import table

if TYPE_CHECKING:
    from collections.abc import Sequence
    from decimal import Decimal
    from zoneinfo import ZoneInfo

    from django.core.management.base import CommandParser

    from ...manager import BudgetManager
    from ...results import AccountStatus

HEAD: Final = ("SCOPE", "SUBJECT", "PERIOD", "LIMIT", "SPENT", "HELD", "REMAINING", "RESETS AT")
NUMBERS: Final = ("LIMIT", "SPENT", "HELD", "REMAINING")


class Command(BudgetCommand):
    """Shows the site's account, and those of a user and a project."""

    help = "Show what is spent, held and left, in USD: of the whole site, and of a user or a project if you name them."
    example = "Example: may user 42 still call a model for the project 'search'?\n  %(prog)s --user 42 --project search"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add whose accounts, and how to print them."""
        add_subject_arguments(parser, default="only the account of the whole site")
        add_json_argument(parser)

    def work(self, budget: BudgetManager, options: dict[str, Any]) -> None:
        """Print the accounts. The site's own is always among them: it always counts."""
        deposit = budget.ledger.deposit((*subjects_asked_for(options), GLOBAL))
        statuses = budget.drive(budget.guard.status(deposit))
        if options["json"]:
            self.write_json([_as_json(status) for status in statuses])
        elif statuses:
            rows = [_as_row(status, budget.config.time_zone) for status in statuses]
            self.stdout.write(table(HEAD, rows, numbers=NUMBERS))
            self._write_refused(budget)
        else:
            self.stdout.write("There is no limit on these accounts, so nothing of them is counted.")

    def _write_refused(self, budget: BudgetManager) -> None:
        """Print how many calls of the whole site were refused today, if any was."""
        today = window_at(Period.DAY, from_ms(budget.ledger.now()), budget.config.time_zone).first_day
        by_level = budget.drive(counts(budget.ledger, today)).between(today, today)
        if any(by_level.values()):
            levels = ", ".join(f"{number} by {scope} limits" for scope, number in by_level.items() if number)
            self.stdout.write(f"\nRefused today, whoever asked: {levels}.")


def _as_row(status: AccountStatus, zone: ZoneInfo) -> Sequence[str]:
    return (
        status.scope,
        status.subject or ("anonymous" if status.scope == "user" else "-"),
        status.period,
        "unlimited" if status.limit is None else f"{status.limit:f}",
        f"{status.spent:f}",
        f"{status.held:f}",
        "-" if status.remaining is None else f"{status.remaining:f}",
        f"{status.resets_at.astimezone(zone):%Y-%m-%d %H:%M %Z}",
    )


def _as_json(status: AccountStatus) -> dict[str, str | None]:
    return {
        "scope": status.scope,
        "subject": status.subject,
        "period": status.period,
        "limit": _usd(status.limit),
        "spent": _usd(status.spent),
        "held": _usd(status.held),
        "remaining": _usd(status.remaining),
        "resets_at": status.resets_at.isoformat(),
    }


def _usd(amount: Decimal | None) -> str | None:
    return None if amount is None else f"{amount:f}"
