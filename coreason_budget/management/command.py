"""``BudgetCommand``: what all commands share: finding the budget, naming subjects, exit codes, no log file."""

from __future__ import annotations

import json
import sys
from argparse import ArgumentTypeError
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NoReturn

from django.core.management.base import BaseCommand, CommandError, CommandParser, DjangoHelpFormatter

from .. import log, service
from ..exceptions import BudgetError
from ..scopes import ANONYMOUS, Scope, Subject, clean_id

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..manager import BudgetManager

__all__ = ["BudgetCommand", "a_day", "add_json_argument", "add_subject_arguments", "subjects_asked_for"]

#: Exit codes: something was found that wants a look; the budget could not be asked at all.
FOUND: Final = 1
UNAVAILABLE: Final = 2
FIRST_DAY, LAST_DAY = date(2000, 1, 1), date(2199, 12, 31)


class _HelpFormatter(DjangoHelpFormatter):
    """Wraps text, but leaves an indented line, which is an example, as it is."""

    def _fill_text(self, text: str, width: int, indent: str) -> str:
        return "\n".join(
            line if line.startswith(" ") else super(_HelpFormatter, self)._fill_text(line, width, indent)
            for line in text.splitlines()
        )


class BudgetCommand(BaseCommand):
    """A command that works on the project's budget. ``example`` is shown at the end of its help."""

    example = ""

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        """Return the parser, with the example below its options."""
        kwargs = {"epilog": self.example, "formatter_class": _HelpFormatter, **kwargs}
        return super().create_parser(prog_name, subcommand, **kwargs)

    def run_from_argv(self, argv: list[str]) -> None:
        """Run as a process of its own, which leaves the workers' log file alone."""
        log.write_no_file()
        super().run_from_argv(argv)

    def handle(self, *_: Any, **options: Any) -> None:
        """Do the work. Raise CommandError where the budget cannot be asked."""
        try:
            self.work(service.manager(), options)
        except BudgetError as error:
            raise CommandError(str(error), returncode=UNAVAILABLE) from error

    def work(self, budget: BudgetManager, options: dict[str, Any]) -> None:
        """Do what the command is for."""
        raise NotImplementedError

    def write_json(self, value: object) -> None:
        """Print a value as JSON."""
        self.stdout.write(json.dumps(value, indent=2, ensure_ascii=False))

    def end_as_found(self) -> NoReturn:
        """End the command with the exit code that tells scripts to look at what was printed."""
        sys.exit(FOUND)


def a_day(text: str) -> date:
    """Read a day that an option names. Raise ArgumentTypeError for what is none."""
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise ArgumentTypeError(f"{text!r} is no day such as 2026-11-30") from None
    if not FIRST_DAY <= day <= LAST_DAY:
        raise ArgumentTypeError(f"{text!r} is not between {FIRST_DAY} and {LAST_DAY}")
    return day


def add_json_argument(parser: CommandParser) -> None:
    """Add ``--json``."""
    parser.add_argument("--json", action="store_true", help="Print JSON for programs, amounts in USD as strings.")


def add_subject_arguments(parser: CommandParser, *, default: str) -> None:
    """Add the options that name subjects. ``default`` says which are meant without them."""
    who = parser.add_mutually_exclusive_group()
    who.add_argument("--user", metavar="ID", help=f"The account of a user, by primary key. Default: {default}.")
    who.add_argument("--anonymous", action="store_true", help="The account of all visitors who are not logged in.")
    parser.add_argument("--project", metavar="ID", help="The account of a project.")


def subjects_asked_for(options: dict[str, Any]) -> Sequence[Subject]:
    """Return the subjects that the options name. Raise CommandError for an id that cannot be one."""
    ids = {
        Scope.USER: ANONYMOUS if options["anonymous"] else options["user"],
        Scope.PROJECT: options["project"],
    }
    try:
        return [
            Subject(scope, clean_id(value, f"--{scope.value}")) for scope, value in ids.items() if value is not None
        ]
    except (ValueError, TypeError) as error:
        raise CommandError(str(error)) from error
