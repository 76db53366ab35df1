"""What the admin does there, run by Django's own runner (see test_other_users)."""

from __future__ import annotations

from django.contrib import admin
from django.core.checks import run_checks
from django.test import TestCase

from coreason_budget import service
from coreason_budget.models import UserLimit
from coreason_budget.testing import IsolatedBudgetsMixin

from ..pages import Page
from ..test_limit_form import filled
from .models import Member

LIMITS = "/admin/coreason_budget/userlimit/"
RECORDS = "/admin/coreason_budget/spendrecord/"


class OtherUsers(IsolatedBudgetsMixin, TestCase):
    def setUp(self) -> None:
        boss = Member.objects.create(address="boss@example.org", is_staff=True, is_superuser=True)
        self.ann = Member.objects.create(address="ann@example.org")
        self.client.force_login(boss)  # type: ignore[arg-type]  # the user of another project

    def page(self, url: str, **query: str) -> Page:
        response = self.client.get(url, query)
        assert response.status_code == 200
        return Page(response)

    def test_the_checks_pass_without_a_user_admin(self) -> None:
        assert not admin.site.is_registered(Member)
        assert run_checks() == []

    def test_a_user_is_named_by_primary_key(self) -> None:
        field = self.page(f"{LIMITS}add/").root.one("input", name="user")
        assert field.attributes["type"] == "text"

        self.client.post(f"{LIMITS}add/", filled(user=str(self.ann.pk), amount_usd="3"))

        assert UserLimit.objects.get().user == self.ann
        assert self.page(LIMITS).texts[0]["whose"] == "ann@example.org"

    def test_users_are_found_by_what_they_log_in_with_and_by_primary_key(self) -> None:
        UserLimit.objects.create(user_id=self.ann.pk, amount_usd=1)

        for term, number in (("ann@", 1), (str(self.ann.pk), 1), ("bob", 0)):
            cl = self.page(LIMITS, q=term).response.context["cl"]
            assert cl.result_count == number, term

    def test_records_name_their_users_and_are_found_by_them(self) -> None:
        service.charge(self.ann.pk, "0.5", charge_id="c1")
        service.charge("007", "0.5", charge_id="c2")

        rows = {row["record"].one("bdi").text: row["user"].text for row in self.page(RECORDS).rows}

        assert rows == {"c1": "ann@example.org", "c2": "007"}
        for term in ("ann@example.org", str(self.ann.pk)):
            assert len(self.page(RECORDS, q=term).rows) == 1
