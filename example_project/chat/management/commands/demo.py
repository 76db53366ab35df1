"""``manage.py demo``: a crowd of callers, real budgets, an account of every nano-dollar, and then a site to try it."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from contextlib import nullcontext
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from redis import RedisError
from tqdm import tqdm  # type: ignore[import-untyped]  # it has no annotations

from coreason_budget import BudgetUnavailableError, UnknownModelError, service

from ... import report, visitors
from ...alone import AlreadyRunningError, alone
from ...calls import Call, Outcome, load_litellm
from ...crowd import send_all
from ...quiet import quiet_loguru
from ...reset import forget_everything
from ...roster import Roster, deal, set_limits
from ...serving import PORTS, address_of, listen, serve
from ...traffic import Tokens, TraceError, generate, read_trace

if TYPE_CHECKING:
    from socket import socket

    from coreason_budget.results import AccountStatus

FLUSH_TIMEOUT = 30.0  # seconds
HIGHEST_PORT = 65_535


class Command(BaseCommand):
    """Send LLM-shaped calls of several users through their budgets, show where the money went, and serve a chat."""

    help = "Send LLM-shaped calls of several users through their budgets, show where the money went, and serve a chat."

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
        parser.add_argument("--host", default="127.0.0.1", help="where the site is served (default: 127.0.0.1)")
        parser.add_argument(
            "--port", type=_port, metavar="N", help=f"its port (default: the first free one from {PORTS[0]} on)"
        )

    def handle(self, **options: Any) -> None:
        """Run the demo. Raise CommandError if the books do not balance."""
        sizes = self._read_traffic(options)
        quiet_loguru()
        try:
            with (
                alone(Path(str(settings.DATABASES["default"]["NAME"])).with_name("demo.lock")),
                nullcontext() if options["no_serve"] else self._listen(options) as listener,
            ):
                call_command("migrate", verbosity=0, interactive=False)
                self._run(sizes, options, listener)
        except (AlreadyRunningError, UnknownModelError) as error:
            raise CommandError(str(error)) from error
        except (BudgetUnavailableError, RedisError) as error:
            raise CommandError(f"The budgets cannot be checked: {error}") from error
        except KeyboardInterrupt:
            raise CommandError("Stopped.", returncode=130) from None

    def _run(self, sizes: list[Tokens], options: dict[str, Any], listener: socket | None) -> None:
        if not options["keep"]:
            forget_everything()
        load_litellm()
        extra = visitors.room() if listener else None
        roster = Roster.enroll()
        calls = deal(roster, sizes, options["seed"])
        if not options["keep"] or not roster.has_limits():
            set_limits(roster, calls)
        outcomes = self._send(calls, options)
        accounts = self._report(roster, outcomes)
        if listener and extra:
            visitors.make_room(accounts, extra)
            self._serve(listener, roster, extra)

    def _listen(self, options: dict[str, Any]) -> socket:
        port = options["port"]
        try:
            return listen(options["host"], PORTS if port is None else [port])
        except OSError as error:
            raise CommandError(str(error)) from error

    def _serve(self, listener: socket, roster: Roster, extra: visitors.Room) -> None:
        passwords = visitors.give_passwords(roster)
        self.stdout.write("\n".join(["", *visitors.welcome(address_of(listener), passwords, extra), ""]))
        self.stdout.flush()
        serve("chat_site.asgi:application", listener)
        service.flush(FLUSH_TIMEOUT)
        self.stdout.write("\nThe site is closed.")

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

    def _report(self, roster: Roster, outcomes: list[Outcome]) -> list[AccountStatus]:
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
        return accounts


def _positive(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) > 0:
        return int(text)
    raise ArgumentTypeError(f"must be a whole number from 1, not {text!r}")


def _port(text: str) -> int:
    if text.isascii() and text.isdigit() and int(text) <= HIGHEST_PORT:
        return int(text)
    raise ArgumentTypeError(f"must be a whole number from 0 to {HIGHEST_PORT}, not {text!r}")
