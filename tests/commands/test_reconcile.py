"""``manage.py budget_reconcile``: what it finds and corrects."""

from __future__ import annotations

import json
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command

from coreason_budget import ANONYMOUS, BudgetManager, service

from .terminal import Terminal, lose_money, run, run_and_fail

if TYPE_CHECKING:
    from pytest_django import Settings

    from ..conftest import Backend

pytestmark = pytest.mark.django_db(transaction=True)


def test_reconcile_finds_nothing_where_all_is_right(budget: BudgetManager) -> None:
    budget.charge("ann", "0.25", "apollo")
    budget.status("ann", "apollo")

    assert run("budget_reconcile") == "3 accounts verified: all were right.\n"


def test_progress_is_shown_on_a_terminal(budget: BudgetManager) -> None:
    budget.charge("ann", "0.25")
    budget.status("ann")
    out, err = StringIO(), Terminal()

    call_command("budget_reconcile", stdout=out, stderr=err, no_color=True)

    assert err.getvalue() == "\r1 of 2 accounts verified\r2 of 2 accounts verified\n"
    assert out.getvalue() == "2 accounts verified: all were right.\n"


def test_reconcile_corrects_and_reports_what_had_drifted(budget: BudgetManager, backend: Backend) -> None:
    budget.charge("ann", "0.25", "apollo")
    budget.status("ann", "apollo")
    lose_money(backend, "user:ann", -150_000_000)
    lose_money(backend, "global:", 1)

    code, printed = run_and_fail("budget_reconcile")

    assert code == 1
    assert printed.splitlines() == [
        "SCOPE   SUBJECT  PERIOD  CORRECTED BY",
        "user    ann      day            +0.15",
        "global  -        day     -0.000000001",
        "3 accounts verified: 2 had drifted and are corrected.",
    ]
    assert {f"{item.spent:f}" for item in budget.status("ann", "apollo")} == {"0.25"}
    assert run("budget_reconcile") == "3 accounts verified: all were right.\n"


def test_reconcile_as_json(budget: BudgetManager, backend: Backend) -> None:
    budget.charge("ann", "0.25")
    budget.status("ann")
    lose_money(backend, "user:ann", 100)

    assert run_and_fail("budget_reconcile", "--json") == (
        1,
        json.dumps(
            {
                "accounts": 2,
                "corrections": [{"scope": "user", "subject": "ann", "period": "day", "corrected_by": "-0.0000001"}],
            },
            indent=2,
        )
        + "\n",
    )


def test_reconcile_of_one_account_leaves_the_others(budget: BudgetManager, backend: Backend) -> None:
    budget.status("ann", "apollo")
    lose_money(backend, "user:ann", 100)
    lose_money(backend, "project:apollo", 100)

    code, printed = run_and_fail("budget_reconcile", "--project", "apollo")

    assert code == 1
    assert printed.endswith(
        "project  apollo   day       -0.0000001\n1 account verified: 1 had drifted and is corrected.\n"
    )
    assert f"{budget.status('ann')[0].spent:f}" == "0.0000001"


def test_reconcile_finds_accounts_whatever_their_ids(budget: BudgetManager, backend: Backend) -> None:
    for user in ("ann:b", "*", "ü/%25", ANONYMOUS):
        budget.status(user)
    with backend.client() as client:
        client.set("{coreason-budget}:a:group:x", "no account of ours")

    assert run("budget_reconcile") == "5 accounts verified: all were right.\n"


@pytest.mark.usefixtures("backend")
def test_reconcile_finds_accounts_whatever_the_key_prefix(settings: Settings) -> None:
    for prefix in ("a[b]*?", "a", "back\\slash^-"):
        settings.COREASON_BUDGET = {"LOG_PATH": "", "KEY_PREFIX": prefix}
        service.charge("ann", "0.1")
        service.status("ann")

        assert run("budget_reconcile") == "2 accounts verified: all were right.\n"


def test_reconcile_keeps_what_is_held(budget: BudgetManager) -> None:
    budget.reserve("ann", amount="0.5")

    run("budget_reconcile")

    assert f"{budget.status('ann')[0].held:f}" == "0.5"
