"""``manage.py budget_report``: what was spent, summed up by user, project, model, kind, day, week or month."""

from __future__ import annotations

import csv
import json
from argparse import ArgumentTypeError
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django.core.management.base import CommandError
from django.db import Error as DatabaseError
from django.utils import timezone

from ...exceptions import BudgetError
from ...periods import Period, window_at
from ..command import UNAVAILABLE, BudgetCommand, a_day
from ..report import COLUMNS, PERIODS_OF, Report
from ..spreadsheet import harmless
from ..table import table

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.core.management.base import CommandParser

    from ...manager import BudgetManager
    from ..report import Line

KNOWN: Final = (*COLUMNS, *PERIODS_OF)
WIDEST_NAME: Final = 60
NUMBERS: Final = ("cost_usd", "records", "input_tokens", "output_tokens")
HEADS_AT_THE_RIGHT: Final = ("COST", "RECORDS", "INPUT TOKENS", "OUTPUT TOKENS")


class Command(BudgetCommand):
    """Prints what ``Report`` sums up."""

    help = (
        "Sum up the spend records of some days: exact, in USD, refunds taken off. The greatest sums come first, those "
        "of a day, week or month together. CSV and JSON are written as they are read, however much it is. The exit "
        "code is 0 if there is a report, also if nothing was spent, and 2 if the database does not answer."
    )
    example = (
        "Example, a file for the books, of this month to its 15th day:\n"
        "  %(prog)s --by user,model --to 2026-11-15 --format csv"
    )

    def add_arguments(self, parser: CommandParser) -> None:
        """Add what is summed up by what, and how to print it."""
        parser.add_argument(
            "--by",
            type=_names,
            default=["user"],
            metavar="NAMES",
            help=f"What a line is, in this order, with commas between: {', '.join(KNOWN)}; one period at most. "
            "Default: user.",
        )
        parser.add_argument(
            "--from",
            dest="first",
            type=a_day,
            metavar="DAY",
            help="The first day, as 2026-11-01, in the budget's time zone. Default: the first of this month.",
        )
        parser.add_argument(
            "--to", dest="last", type=a_day, metavar="DAY", help="The last day, which is included. Default: today."
        )
        parser.add_argument(
            "--format",
            choices=("table", "csv", "json"),
            default="table",
            help="A table with a sum for people (default), CSV for spreadsheets, JSON for programs.",
        )

    def work(self, budget: BudgetManager, options: dict[str, Any]) -> None:
        """Print the report, and say on stderr what it lacks."""
        zone = budget.config.time_zone
        today = window_at(Period.DAY, timezone.now(), zone).first_day
        first, last = options["first"] or today.replace(day=1), options["last"] or today
        if first > last:
            raise CommandError(f"--from {first} is after --to {last}.")
        report = Report(first, last, zone, options["by"])
        write = {"table": self._write_table, "csv": self._write_csv, "json": self._write_json}[options["format"]]
        try:
            write(report)
        except DatabaseError as error:
            raise CommandError(f"The database cannot be read: {error}", returncode=UNAVAILABLE) from error
        self._tell_of_journal(budget)

    def _write_table(self, report: Report) -> None:
        lines = list(report.lines())
        if not lines:
            self.stdout.write(f"Nothing was spent from {report.first} to {report.last}.")
            return
        head = [name.upper() for name in report.by]
        rows = [[*_shown(report.by, line), *_numbers(line)] for line in lines]
        total = ["TOTAL", *[""] * (len(head) - 1), *_numbers_of_all(lines)]
        self.stdout.write(table([*head, *HEADS_AT_THE_RIGHT], [*rows, total], numbers=HEADS_AT_THE_RIGHT))

    def _write_csv(self, report: Report) -> None:
        writer = csv.writer(_Out(self))
        writer.writerow(_heads(report.by))
        for line in report.lines():
            writer.writerow([*map(harmless, _cells(report.by, line)), *_numbers(line)])

    def _write_json(self, report: Report) -> None:
        heads = _heads(report.by)
        before = "[\n"
        for line in report.lines():
            values = [*_cells(report.by, line), f"{line.cost:f}", line.records, line.input_tokens, line.output_tokens]
            text = json.dumps(dict(zip(heads, values, strict=True)), ensure_ascii=False)
            self.stdout.write(f"{before}  {text}", ending="")
            before = ",\n"
        self.stdout.write("[]" if before == "[\n" else "\n]")

    def _tell_of_journal(self, budget: BudgetManager) -> None:
        try:
            waiting, _age = budget.drive(budget.ledger.journal.backlog())
        except BudgetError as error:
            self.stderr.write(f"Whether charges wait in the journal, which are not in this report, is unknown: {error}")
            return
        if waiting:
            what = "1 charge waits" if waiting == 1 else f"{waiting} charges wait"
            self.stderr.write(f"{what} in the journal, not in this report: run manage.py budget_drain before it.")


class _Out:
    """What the CSV writer writes to."""

    def __init__(self, command: Command) -> None:
        self._command = command

    def write(self, text: str) -> None:
        self._command.stdout.write(text, ending="")


def _heads(by: Sequence[str]) -> list[str]:
    return [*(head for name in by for head in (("user_id", "user") if name == "user" else (name,))), *NUMBERS]


def _cells(by: Sequence[str], line: Line) -> list[str]:
    of = zip(by, line.of, strict=True)
    return [cell for name, value in of for cell in ((value, line.user_name) if name == "user" else (value,))]


def _shown(by: Sequence[str], line: Line) -> list[str]:
    """Return what a line is as people read it: a user's name where there is one, a word where there is nothing."""
    nothing = {"user": "anonymous"}
    return [
        _printable((line.user_name if name == "user" else "") or value or nothing.get(name, "-"))
        for name, value in zip(by, line.of, strict=True)
    ]


def _printable(text: str) -> str:
    """Return a name that strangers chose as a terminal can show it: nothing in it ends a line or turns it around."""
    shown = "".join(char if char.isprintable() else "?" for char in text)
    return shown if len(shown) <= WIDEST_NAME else f"{shown[: WIDEST_NAME - 1]}\N{HORIZONTAL ELLIPSIS}"


def _numbers(line: Line) -> list[str]:
    return [f"{line.cost:f}", str(line.records), str(line.input_tokens), str(line.output_tokens)]


def _numbers_of_all(lines: Sequence[Line]) -> list[str]:
    cost = sum((line.cost for line in lines), Decimal(0))
    counts = [sum(each) for each in zip(*((n.records, n.input_tokens, n.output_tokens) for n in lines), strict=True)]
    return [f"{cost:f}", *map(str, counts)]


def _names(text: str) -> list[str]:
    names = [name.strip() for name in text.split(",")]
    for name in names:
        if name not in KNOWN:
            raise ArgumentTypeError(f"{name!r} is none of {', '.join(KNOWN)}")
    if len(set(names)) < len(names):
        raise ArgumentTypeError(f"{text!r} names something twice")
    if len([name for name in names if name in PERIODS_OF]) > 1:
        raise ArgumentTypeError(f"{text!r} names more than one of {', '.join(PERIODS_OF)}")
    return names
