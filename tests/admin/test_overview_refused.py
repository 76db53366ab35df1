"""How many calls were refused, as the overview counts them."""

from __future__ import annotations

from datetime import timedelta
from zoneinfo import ZoneInfo

import pytest
from django.urls import reverse
from django.utils import formats, timezone

from coreason_budget import BudgetExceededError, service
from coreason_budget.periods import Period, window_at
from coreason_budget.testing import override_limits

from .test_overview import tile

pytestmark = pytest.mark.usefixtures("ledger")


def refuse(*args, times=1, **kwargs):
    for _ in range(times):
        with pytest.raises(BudgetExceededError):
            service.reserve(*args, **kwargs)
    assert service.manager().guard.refusals.flush(10)


@override_limits(daily_user="1", daily_project="0.5")
def test_refused_calls_are_counted_by_whose_limit_it_was(boss):
    assert "0 calls refused" in tile(boss.get("overview"), "Today").text
    refuse("7", amount="2", times=3)
    refuse("7", "apollo", amount="0.75")

    page = boss.get("overview")

    for title in ("Today", "This week", "This month"):
        assert "4 calls refused" in tile(page, title).text
    said = page.root.one("dl", "budget-summary").text
    assert "Refused 4 calls refused by limits of users 3, of projects 1, of the site 0 (counted since " in said
    assert reverse("admin:coreason_budget_refusals") in page.html


@override_limits(daily_user="1")
def test_how_long_they_are_counted_is_said(boss):
    refuse("7", amount="2")
    today = window_at(Period.DAY, timezone.now(), ZoneInfo("UTC")).first_day
    day = today.isoformat()

    page = boss.get("overview", **{"from": day, "until": day})
    assert page.root.one("dl", "budget-summary").text.endswith("of projects 0, of the site 0")
    before = (today - timedelta(days=3)).isoformat()
    page = boss.get("overview", **{"from": before, "until": day})
    assert f"(counted since {formats.date_format(today)})" in page.root.one("dl", "budget-summary").text
    page = boss.get("overview", **{"from": before, "until": before})
    assert "refused" not in page.root.one("dl", "budget-summary").text


@override_limits(daily_user="1")
def test_of_single_users_they_are_not_counted_and_not_shown(boss):
    refuse("7", amount="2")

    assert "refused" not in boss.get("overview", user="7").root.one("dl", "budget-summary").text


@pytest.mark.usefixtures("redis_down")
def test_without_redis_no_count_is_made_up(boss):
    assert "refused" not in boss.get("overview").root.one("div", id="budget-figures").text
