"""``manage.py budget_reconcile``: proves the accounts in Redis against the database, corrects and reports drift."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ...money import to_usd
from ..accounts import known_subjects
from ..command import BudgetCommand, add_json_argument, add_subject_arguments, subjects_asked_for
from ..table import table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from django.core.management.base import CommandParser

    from ...manager import BudgetManager
    from ...periods import Period
    from ...scopes import Subject

HEAD: Final = ("SCOPE", "SUBJECT", "PERIOD", "CORRECTED BY")


@dataclass(frozen=True, slots=True)
class Correction:
    """By how much (nano-USD) an account had counted too little, or too much if negative."""

    subject: Subject
    period: Period
    nanos: int


class Command(BudgetCommand):
    """Rebuilds every account that Redis has, whenever it was verified last."""

    help = (
        "Sum the spend of every account from the database and the journal and correct what Redis has counted. Calls "
        "may go on meanwhile. The exit code is 0 if every account was right, 1 if one was corrected, 2 if Redis or the "
        "database does not answer."
    )
    example = "Example, every night, so that drift is noticed:\n  %(prog)s || mail -s 'budget drift' ops@example.com"

    def add_arguments(self, parser: CommandParser) -> None:
        """Add whose accounts, and how to print them."""
        add_subject_arguments(parser, default="all accounts")
        add_json_argument(parser)

    def work(self, budget: BudgetManager, options: dict[str, Any]) -> None:
        """Rebuild the accounts, and print those that had drifted."""
        subjects = subjects_asked_for(options) or known_subjects(budget.ledger)
        corrections = [correction for subject in self._watched(subjects) for correction in _reconcile(budget, subject)]
        if options["json"]:
            self.write_json(
                {"accounts": len(subjects), "corrections": [_as_json(correction) for correction in corrections]}
            )
        else:
            self._print(len(subjects), corrections)
        if corrections:
            self.end_as_found()

    def _watched(self, subjects: Sequence[Subject]) -> Iterator[Subject]:
        """Yield the subjects, and show on a terminal how many of them are done."""
        is_watched = self.stderr.isatty()
        for done, subject in enumerate(subjects, start=1):
            yield subject
            if is_watched:
                self.stderr.write(f"\r{done} of {_accounts(len(subjects))} verified", str, ending="")
                self.stderr.flush()
        if is_watched and subjects:
            self.stderr.write("")

    def _print(self, accounts: int, corrections: Sequence[Correction]) -> None:
        if corrections:
            self.stdout.write(table(HEAD, [_as_row(correction) for correction in corrections], numbers=HEAD[-1:]))
        drifted = len({correction.subject for correction in corrections})
        verdict = (
            f"{drifted} had drifted and {'is' if drifted == 1 else 'are'} corrected" if drifted else "all were right"
        )
        self.stdout.write(f"{_accounts(accounts)} verified: {verdict}.")


def _accounts(number: int) -> str:
    return "1 account" if number == 1 else f"{number} accounts"


def _reconcile(budget: BudgetManager, subject: Subject) -> Iterator[Correction]:
    drift = budget.drive(budget.ledger.rebuild(subject, "verify", every=0))
    for period, nanos in drift.corrections.items():
        yield Correction(subject, period, nanos)


def _as_row(correction: Correction) -> Sequence[str]:
    subject = correction.subject
    shown = subject.id or ("anonymous" if subject.scope == "user" else "-")
    return subject.scope.value, shown, correction.period.value, f"{to_usd(correction.nanos):+f}"


def _as_json(correction: Correction) -> dict[str, str]:
    return {
        "scope": correction.subject.scope.value,
        "subject": correction.subject.id,
        "period": correction.period.value,
        "corrected_by": f"{to_usd(correction.nanos):f}",
    }
