"""What is measured as the commands alone are the commands that the ledger sends."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest

from benchmarks.floors import bare_commands
from benchmarks.server import COST
from coreason_budget import BudgetConfig, BudgetManager

if TYPE_CHECKING:
    from collections.abc import Sequence

REPLIES = {3: "ok\n1\n2\n100000", 5: "ok\n1\n5-1|1|0||0|1|1 0 0 0|1 0 0 0|1 0 0 0"}


@pytest.mark.django_db
def test_the_commands_alone_are_those_that_the_ledger_sends(monkeypatch: pytest.MonkeyPatch) -> None:
    manager = BudgetManager(BudgetConfig(redis_url="redis://127.0.0.1:1/0"))
    sent: list[Sequence[Any]] = []

    def execute(args: Sequence[Any]) -> str:
        sent.append(args)
        return REPLIES.get(args[2] - 3, "acked\n1\n0")

    monkeypatch.setattr(manager.ledger.connections, "execute", execute)
    manager.reserve("ann", "search", amount=COST).charge(cost=COST, final=True)
    by_the_ledger = sent[:2]
    sent.clear()
    for contestant in bare_commands(manager, 1):
        contestant.before()
        contestant.work()

    assert [_without_ids(args) for args in sent] == [_without_ids(args) for args in by_the_ledger]
    assert sent[0][3] == sent[1][4]  # a charge on the hold that was made


def _without_ids(args: Sequence[Any]) -> list[str]:
    return [re.sub(r"\b[0-9a-f]{32}\b", "ID", str(arg)) for arg in args]
