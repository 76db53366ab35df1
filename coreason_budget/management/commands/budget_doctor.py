"""``manage.py budget_doctor``: asks the live server and the database whether budgets can be kept here."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from ..command import BudgetCommand
from ..doctor import examine
from ..finding import Finding, Level

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.core.management.base import CommandParser

    from ...manager import BudgetManager


class Command(BudgetCommand):
    """Prints what ``examine`` finds."""

    help = (
        "Ask Redis and the database whether they keep what the ledger needs: reachable, a run id, no eviction, "
        "persistence, clocks, backlog, migrations. It changes nothing. The exit code is 1 if there is an error."
    )
    example = "Example, in a deployment, where a warning must stop it too:\n  %(prog)s --strict"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add how to print the findings, and which of them count."""
        parser.add_argument("--json", action="store_true", help="Print JSON for programs.")
        parser.add_argument("--strict", action="store_true", help="Exit with 1 if there is a warning, too.")

    def work(self, budget: BudgetManager, options: dict[str, Any]) -> None:
        """Print all findings, and end by the worst of them."""
        findings = examine(budget)
        if options["json"]:
            self.write_json([asdict(finding) for finding in findings])
        else:
            self._print(findings)
        levels = {finding.level for finding in findings}
        if Level.ERROR in levels or (options["strict"] and Level.WARNING in levels):
            self.end_as_found()

    def _print(self, findings: list[Finding]) -> None:
        widths = max(map(len, Level)), max(len(finding.check) for finding in findings)
        for finding in findings:
            level = self._painted(finding.level)(finding.level.ljust(widths[0]))
            self.stdout.write(f"{level}  {finding.check.ljust(widths[1])}  {finding.what}")
            if finding.remedy:
                self.stdout.write(f"{' ' * sum(widths)}      {finding.remedy}")
        counts = Counter(finding.level for finding in findings)
        self.stdout.write(", ".join(f"{level}: {counts[level]}" for level in reversed(Level) if counts[level]))

    def _painted(self, level: Level) -> Callable[[str], str]:
        styles: dict[Level, Callable[[str], str]] = {
            Level.OK: self.style.SUCCESS,
            Level.INFO: self.style.NOTICE,
            Level.WARNING: self.style.WARNING,
            Level.ERROR: self.style.ERROR,
        }
        return styles[level]
