"""``manage.py budget_alert_preview``: the mails that alerts would be, and who would get them."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from functools import partial
from typing import TYPE_CHECKING, Any

from django.core.management.base import CommandError

from ...alerts.alert import Alert
from ...alerts.messages import Writer, addresses
from ...periods import Period, window_at
from ...scopes import GLOBAL, Scope, Subject
from ..command import BudgetCommand

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.core.mail import EmailMessage
    from django.core.management.base import CommandParser

    from ...conf import BudgetConfig
    from ...manager import BudgetManager


class Command(BudgetCommand):
    """Prints an example of each mail, or sends them."""

    help = (
        "Print the mails that the alerts of this project are, with made-up figures, and where they go. "
        "It asks neither Redis nor the database."
    )
    example = "Example: do mails arrive?\n  %(prog)s --send"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add whether to send."""
        parser.add_argument("--send", action="store_true", help="Send them to the recipients, as Django is told to.")

    def work(self, budget: BudgetManager, options: dict[str, Any]) -> None:
        """Print or send the examples. Raise CommandError if nobody would get them."""
        config = budget.config
        to = addresses(config.alert_recipients)
        if options["send"] and not to:
            raise CommandError("Nobody gets alerts: set COREASON_BUDGET['ALERT_RECIPIENTS'] to e-mail addresses.")
        self.stdout.write(_rules(config, to))
        for message in _examples(config, to):
            self.stdout.write(f"\nSubject: {message.subject}\n\n{message.body}")
            if options["send"]:
                message.send()
        if options["send"]:
            self.stdout.write(self.style.SUCCESS(f"Sent to {', '.join(to)}."))


def _rules(config: BudgetConfig, to: list[str]) -> str:
    return (
        f"Recipients: {', '.join(to) or 'nobody (ALERT_RECIPIENTS is empty), so no alert is mailed'}\n"
        f"Accounts: {', '.join(config.alert_scopes) or 'none (ALERT_SCOPES is empty)'}\n"
        f"Thresholds: {', '.join(f'{percent} %' for percent in _thresholds(config)) or 'none'}\n"
        f"At most {config.alert_max_per_hour} in an hour, each once for its account and window."
    )


def _thresholds(config: BudgetConfig) -> list[int]:
    return [percent for percent in config.thresholds if percent >= config.alert_from_percent]


def _examples(config: BudgetConfig, to: list[str]) -> Iterator[EmailMessage]:
    writer = Writer(to, config.time_zone)
    ends = window_at(Period.DAY, datetime.now(config.time_zone), config.time_zone).end
    of_today = partial(Alert, period="day", limit=Decimal(10), held=Decimal("0.05"), resets_at=ends)
    for percent in _thresholds(config):
        spent = Decimal(percent) / 10
        yield writer.alert(of_today(kind="threshold", subject=GLOBAL, spent=spent, percent=percent))
    project = Subject(Scope.PROJECT, "search")
    yield writer.alert(of_today(kind="refusal", subject=project, spent=Decimal("9.94"), requested=Decimal("0.05")))
    yield writer.withheld(config.alert_max_per_hour)
