"""Running commands as an operator does, and what there is for them to find."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command

if TYPE_CHECKING:
    from coreason_budget import BudgetManager

    from ..conftest import Backend


class Terminal(StringIO):
    """What is printed, as on a terminal."""

    def isatty(self) -> bool:
        return True


def run(name: str, *arguments: str) -> str:
    """Run a command and return what it printed."""
    out = StringIO()
    call_command(name, *arguments, stdout=out)
    return out.getvalue()


def run_and_fail(name: str, *arguments: str) -> tuple[int | str | None, str]:
    """Run a command that ends with an exit code; return it and what was printed."""
    out = StringIO()
    with pytest.raises(SystemExit) as ended:
        call_command(name, *arguments, stdout=out)
    return ended.value.code, out.getvalue()


def leave_in_journal(budget: BudgetManager, monkeypatch: pytest.MonkeyPatch, *costs: str) -> None:
    """Charge, and have nobody write it, as if the worker had been killed."""
    with monkeypatch.context() as patch:
        patch.setattr(budget.ledger.database, "write", lambda work: budget.ledger.journal._pending.clear())
        for cost in costs:
            budget.charge("ann", cost)


def journal_length(backend: Backend) -> int:
    with backend.client() as client:
        return int(client.xlen("{coreason-budget}:journal"))


def lose_money(backend: Backend, key: str, nanos: int) -> None:
    """Make an account count wrong by so many nano-USD."""
    with backend.client() as client:
        client.hincrby(f"{{coreason-budget}}:a:{key}", "sd", nanos)
