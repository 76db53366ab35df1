from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from django.core.management.base import CommandError

from coreason_budget import AccountStatus, service
from example_project.chat import report
from example_project.chat.calls import Call, Outcome
from example_project.chat.management.commands import demo
from example_project.chat.roster import Roster
from example_project.chat.traffic import Tokens

ROSTER = Roster({"1": "alice", "2": "bob"}, ("support",))


def account(scope: str, subject: str, limit: str | None, spent: str) -> AccountStatus:
    most = None if limit is None else Decimal(limit)
    used = Decimal(spent)
    left = None if most is None else max(most - used, Decimal(0))
    return AccountStatus(scope, subject, "day", most, used, Decimal(0), left, datetime(2026, 11, 24, tzinfo=UTC))


ACCOUNTS = [
    account("user", "1", "0.5", "0.25"),
    account("user", "2", "0", "0"),
    account("project", "support", None, "0.2000000004"),
    account("global", "", "0.25", "0.3"),
]


def test_the_spend_table_shows_who_spent_what_of_which_limit():
    assert report.spend_table(ACCOUNTS, ROSTER) == [
        "scope    who            limit      spent       left   used",
        "-------  ---------  ---------  ---------  ---------  -----  ----------------------",
        "user     alice      $0.500000  $0.250000  $0.250000   50 %  [##########..........]",
        "user     bob        $0.000000  $0.000000  $0.000000         blocked",
        "project  support            -  $0.200000          -         no limit",
        "global   everybody  $0.250000  $0.300000  $0.000000  120 %  [####################]",
    ]


def test_the_calls_table_counts_refusals_by_scope():
    first, second = (Call(user, "support", "gpt-4o", Tokens(1, 1)) for user in "12")
    outcomes = [Outcome(first, Decimal(1)), Outcome(first, None, "global"), Outcome(second, None, "user")]
    assert report.calls_table(outcomes, ROSTER) == [
        "user      calls  let through  refused  by user  by project  by global",
        "--------  -----  -----------  -------  -------  ----------  ---------",
        "alice         2            1        1        0           0          1",
        "bob           1            0        1        1           0          0",
        "together      3            1        2        1           0          1",
    ]


def show_report(monkeypatch, in_database: str, *, written: bool = True) -> None:
    sums = [report.Sums(account("global", "", None, "1.5"), Decimal(in_database))]
    monkeypatch.setattr(service, "flush", lambda _timeout: written)
    monkeypatch.setattr(report, "read_accounts", lambda _roster: [])
    monkeypatch.setattr(report, "compare", lambda _accounts: sums)
    demo.Command()._report(ROSTER, [])


def test_sums_that_agree_are_said_to_agree(monkeypatch, capsys):
    show_report(monkeypatch, "1.500000000")
    assert "equal to the nano-dollar: yes (1 accounts compared)" in capsys.readouterr().out


def test_a_difference_of_one_nano_dollar_fails_the_demo(monkeypatch, capsys):
    with pytest.raises(CommandError, match="differ for: global"):
        show_report(monkeypatch, "1.500000001")
    assert "equal to the nano-dollar: no" in capsys.readouterr().out


def test_charges_that_are_still_unwritten_fail_the_demo(monkeypatch):
    with pytest.raises(CommandError, match="not written to the database"):
        show_report(monkeypatch, "1.5", written=False)
