"""``manage.py demo``: a crowd of callers, real budgets, and an account of every nano-dollar."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from loguru import logger
from redis import RedisError
from tqdm import tqdm  # type: ignore[import-untyped]  # it has no annotations

from coreason_budget import BudgetUnavailableError, service

from ... import report
from ...alone import AlreadyRunningError, alone
from ...calls import Call, Outcome, load_litellm
from ...crowd import send_all
from ...reset import forget_everything
from ...roster import Roster, deal, set_limits
from ...traffic import Tokens, TraceError, generate, read_trace

FLUSH_TIMEOUT = 30.0  # seconds


class Command(BaseCommand):
    """Send LLM-shaped calls of several users through their budgets, and show where the money went."""

    help = "Send LLM-shaped calls of several users through their budgets, and show where the money went."

    def add_arguments(self, parser: ArgumentParser) -> None:
        """Declare the options."""
        parser.add_argument("--calls", type=_positive, default=300, metavar="N", help="how many calls (default: 300)")
        parser.add_argument("--threads", type=_positive, default=8, metavar="N", help="callers at once (default: 8)")
        parser.add_argument(
            "--trace", type=Path, metavar="FILE", help="CSV file with columns TIMESTAMP,ContextTokens,GeneratedTokens"
        )
        parser.add_argument("--seed", type=int, default=1, metavar="N", help="makes another crowd (default: 1)")
        parser.add_argument(
            "--keep", action="store_true", help="go on with the spend and limits of earlier runs, not from zero"
        )
        parser.add_argument("--no-serve", action="store_true", help="end after the report; do not serve the site")

    def handle(self, **options: Any) -> None:
        """Run the demo. Raise CommandError if the books do not balance."""
        sizes = self._read_traffic(options)
        _quiet_loguru()
        try:
            with alone(Path(str(settings.DATABASES["default"]["NAME"])).with_name("demo.lock")):
                call_command("migrate", verbosity=0, interactive=False)
                self._run(sizes, options)
        except AlreadyRunningError as error:
            raise CommandError(str(error)) from error
        except (BudgetUnavailableError, RedisError) as error:
            raise CommandError(f"The budgets cannot be checked: {error}") from error
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=130) from None

    def _run(self, sizes: list[Tokens], options: dict[str, Any]) -> None:
        if not options["keep"]:
            forget_everything()
        load_litellm()
        roster = Roster.enroll()
        calls = deal(roster, sizes, options["seed"])
        if not options["keep"] or not roster.has_limits():
            set_limits(roster, calls)
        outcomes = self._send(calls, options)
        self._report(roster, outcomes)

    def _read_traffic(self, options: dict[str, Any]) -> list[Tokens]:
        if options["trace"] is None:
            return generate(options["seed"], options["calls"])
        try:
            return read_trace(options["trace"], options["calls"])
        except TraceError as error:
            raise CommandError(str(error)) from error

    def _send(self, calls: list[Call], options: dict[str, Any]) -> list[Outcome]:
        lock = Lock()
        refused = 0
        with tqdm(total=len(calls), unit="call", desc="calls", disable=not options["verbosity"]) as bar:

            def show(outcome: Outcome) -> None:
                nonlocal refused
                with lock:
                    refused += outcome.refused_by is not None
                    bar.set_postfix(refused=refused, refresh=False)
                    bar.update()

            return send_all(calls, options["threads"], show)

    def _report(self, roster: Roster, outcomes: list[Outcome]) -> None:
        written = service.flush(FLUSH_TIMEOUT)
        sums = report.compare(report.read_accounts(roster))
        accounts = [item.account for item in sums]
        site = sums[-1]
        agree = all(item.agree for item in sums)
        lines = [
            "",
            *report.spend_table(accounts, roster),
            "",
            *report.calls_table(outcomes, roster),
            "",
            f"spent today in Redis         ${site.account.spent:.9f}",
            f"spent today in the database  ${site.in_database:.9f}",
            f"equal to the nano-dollar: {'yes' if agree else 'no'} ({len(sums)} accounts compared)",
        ]
        self.stdout.write("\n".join(lines))
        if not written:
            raise CommandError(f"Some charges were not written to the database within {FLUSH_TIMEOUT:.0f} seconds.")
        if not agree:
            wrong = [f"{item.account.scope} {item.account.subject}".strip() for item in sums if not item.agree]
            raise CommandError(f"Redis and the database differ for: {', '.join(wrong)}.")


def _quiet_loguru() -> None:
    """Keep refusals, which are the point here, off the terminal: they go to the budget's log file all the same."""
    with suppress(ValueError):
        logger.remove(0)  # loguru's default handler, which prints everything


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ArgumentTypeError(f"must be a whole number from 1, not {text!r}")
