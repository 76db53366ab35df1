"""``manage.py budget_status``: what it prints of whom."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from django.core.management.base import CommandError

from coreason_budget import ANONYMOUS, BudgetExceededError, BudgetManager
from coreason_budget.models import ProjectLimit

from .terminal import run

if TYPE_CHECKING:
    from pytest_django import Settings


pytestmark = pytest.mark.django_db(transaction=True)


def test_status_shows_the_whole_site_unless_told_otherwise(budget: BudgetManager) -> None:
    budget.charge("ann", "0.25", "apollo")

    assert run("budget_status").splitlines() == [
        "SCOPE   SUBJECT  PERIOD  LIMIT  SPENT  HELD  REMAINING  RESETS AT",
        "global  -        day       100   0.25     0      99.75  2030-03-14 00:00 UTC",
    ]


def test_status_shows_a_user_and_a_project_and_the_site_that_counts_too(budget: BudgetManager) -> None:
    budget.charge("ann", "0.25", "apollo")
    budget.reserve("ann", "apollo", amount="0.000000001")
    ProjectLimit.objects.create(project_id="apollo", period="month", amount_usd=None)

    assert run("budget_status", "--user", "ann", "--project", "apollo").splitlines() == [
        "SCOPE    SUBJECT  PERIOD      LIMIT  SPENT         HELD     REMAINING  RESETS AT",
        "user     ann      day             1   0.25  0.000000001   0.749999999  2030-03-14 00:00 UTC",
        "project  apollo   day             3   0.25  0.000000001   2.749999999  2030-03-14 00:00 UTC",
        "project  apollo   month   unlimited   0.25  0.000000001             -  2030-04-01 00:00 UTC",
        "global   -        day           100   0.25  0.000000001  99.749999999  2030-03-14 00:00 UTC",
    ]


def test_status_as_json_has_amounts_as_text(budget: BudgetManager) -> None:
    budget.charge(ANONYMOUS, "0.1")

    assert json.loads(run("budget_status", "--anonymous", "--json"))[0] == {
        "scope": "user",
        "subject": "",
        "period": "day",
        "limit": "1",
        "spent": "0.1",
        "held": "0",
        "remaining": "0.9",
        "resets_at": "2030-03-14T00:00:00+00:00",
    }
    assert " anonymous " in run("budget_status", "--anonymous")


@pytest.mark.usefixtures("backend")
def test_status_of_accounts_without_a_limit_says_why_there_is_nothing_to_show(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "DAILY_GLOBAL_LIMIT_USD": None}

    assert run("budget_status") == "There is no limit on these accounts, so nothing of them is counted.\n"
    assert json.loads(run("budget_status", "--json")) == []


@pytest.mark.usefixtures("budget")
def test_an_id_that_cannot_be_one_is_refused() -> None:
    with pytest.raises(CommandError, match="--user must not be empty or blank"):
        run("budget_status", "--user", " ")


def test_status_tells_how_many_calls_were_refused_today(budget: BudgetManager) -> None:
    for project in (None, "apollo", "apollo"):
        with pytest.raises(BudgetExceededError):
            budget.check("ann", project, 2)
    budget.charge("bob", "2.5", "apollo")
    with pytest.raises(BudgetExceededError):
        budget.check("ann", "apollo", "0.75")
    assert budget.guard.refusals.flush(10)

    assert run("budget_status").splitlines()[2:] == [
        "",
        "Refused today, whoever asked: 3 by user limits, 1 by project limits.",
    ]
    assert len(json.loads(run("budget_status", "--json"))) == 1
