"""Limits as CSV files that are given out: exact, harmless in a spreadsheet, and taken in again as they were."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.contrib.auth.models import User
from django.urls import reverse

from coreason_budget.models import ProjectLimit, UserLimit

from .limit_files import HEAD, confirm, looked_at

pytestmark = pytest.mark.usefixtures("ledger")

HOSTILE = ["=cmd|' /C calc'!A0", "+1", "-1", "@x", "'=x", "''=x", "'x", "<script>alert(1)</script>", 'a,b;"c"']


def test_an_export_is_harmless_in_a_spreadsheet_and_comes_back_as_it_was(boss):
    for name in HOSTILE:
        ProjectLimit.objects.create(project_id=name, amount_usd="0.000000001", reason=name)

    content = boss.client.get(reverse("admin:coreason_budget_projectlimit_export"))

    text = content.content.decode("utf-8-sig")
    assert content.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert text.splitlines()[:2] == [
        "scope,project,period,amount_usd,boost_usd,boost_until,reason",
        "project,'=cmd|' /C calc'!A0,day,0.000000001,,,'=cmd|' /C calc'!A0",
    ]
    assert not any(cell.startswith(("=", "+", "-", "@")) for cell in text.replace("\r\n", ",").split(","))
    ProjectLimit.objects.all().delete()
    page = looked_at(boss, content.content, "projectlimit")
    assert "<script>alert" not in page.html
    confirm(boss, page, "projectlimit")
    assert list(ProjectLimit.objects.order_by("pk").values_list("project_id", "reason")) == [
        (name, name) for name in HOSTILE
    ]


def test_an_export_has_amounts_boosts_and_instants_for_machines(boss, ann):
    end = datetime(2090, 11, 23, 12, 30, tzinfo=UTC)
    UserLimit.objects.create(user=ann, amount_usd=None, period="week", reason="pilot")
    UserLimit.objects.create(user=ann, amount_usd="1000", boost_usd="1200.5", boost_until=end)

    content = boss.client.get(reverse("admin:coreason_budget_userlimit_export")).content.decode("utf-8-sig")

    assert content.splitlines() == [
        HEAD.strip(),
        "user,ann,week,unlimited,,,pilot",
        "user,ann,day,1000,1200.5,2090-11-23T12:30:00Z,",
    ]


def test_an_export_asks_the_database_once(boss, django_assert_num_queries):
    for number in range(20):
        UserLimit.objects.create(user=User.objects.create_user(f"user{number}"), amount_usd=1)

    with django_assert_num_queries(3):  # session, user, the limits with their users
        boss.client.get(reverse("admin:coreason_budget_userlimit_export"))
