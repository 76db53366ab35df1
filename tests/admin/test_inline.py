"""``UserLimitInline``: limits on the user's own page of a project's admin."""

from __future__ import annotations

import doctest
from decimal import Decimal

import pytest
from django.contrib import admin
from django.contrib.auth.admin import UserAdmin
from django.contrib.auth.models import User
from django.test import override_settings
from django.urls import path

from coreason_budget import BudgetExceededError, service
from coreason_budget.admin import UserLimitInline, inlines
from coreason_budget.models import UserLimit

from .pages import Page, entered
from .test_conflicts import ADVICE, CHANGED
from .test_markup import assert_no_inline_code


class MyUserAdmin(UserAdmin):
    inlines = (UserLimitInline,)


site = admin.AdminSite(name="mine")
site.register(User, MyUserAdmin)
urlpatterns = [path("admin/", admin.site.urls), path("mine/", site.urls)]

pytestmark = [pytest.mark.usefixtures("ledger"), pytest.mark.urls(__name__)]


@pytest.fixture
def limits(ann):
    return [
        UserLimit.objects.create(user=ann, amount_usd="10.500000000"),
        UserLimit.objects.create(user=ann, amount_usd=None, period="month"),
    ]


def opened(boss, user):
    return Page(boss.client.get(f"/mine/auth/user/{user.pk}/change/"))


def filled(page, **values):
    """Return the form of a page as a browser sends it, with other values in some fields."""
    form = page.root.one("form", id="user_form")
    data = entered(form)
    for select in form.all("select"):
        chosen = [option.attributes["value"] for option in select.all("option") if "selected" in option.attributes]
        if chosen:
            data[select.attributes["name"]] = chosen[0]
    return {**{name: value for name, value in data.items() if "__prefix__" not in name}, **values}


def test_the_documented_snippet_works():
    results = doctest.testmod(inlines, optionflags=doctest.ELLIPSIS)

    assert (results.failed, results.attempted) == (0, 3)


def test_the_users_limits_are_rows_of_the_users_form(boss, ann, limits):
    page = opened(boss, ann)

    fields = {
        field.attributes["name"]: field.attributes for field in page.root.all("input") if "name" in field.attributes
    }
    assert fields["budget_limits-0-amount_usd"]["value"] == "10.5"
    assert "checked" in fields["budget_limits-1-unlimited"]
    assert_no_inline_code(page)


def test_the_rows_ask_redis_nothing_and_the_database_once(boss, ann, limits, asked, django_assert_num_queries):
    opened(boss, ann)
    asked.clear()
    with django_assert_num_queries(8) as few:
        opened(boss, ann)
    UserLimit.objects.create(user=ann, amount_usd=1, period="week")
    asked.clear()

    with django_assert_num_queries(len(few)):
        opened(boss, ann)
    assert asked == []


def test_what_is_saved_there_holds_for_the_next_call(boss, ann, limits):
    page = opened(boss, ann)

    answer = boss.client.post(f"/mine/auth/user/{ann.pk}/change/", filled(page, **{"budget_limits-0-amount_usd": "0"}))

    assert answer.status_code == 302, Page(answer).errors
    with pytest.raises(BudgetExceededError):
        service.check(ann.pk)


def test_a_row_that_leaves_the_amount_open_is_refused(boss, ann, limits):
    page = opened(boss, ann)

    answer = boss.client.post(f"/mine/auth/user/{ann.pk}/change/", filled(page, **{"budget_limits-0-amount_usd": ""}))

    assert "Enter an amount, 0 to block every call, or tick “unlimited”." in Page(answer).errors
    limits[0].refresh_from_db()
    assert limits[0].amount_usd == Decimal("10.5")


def test_a_row_can_be_added(boss, ann):
    page = opened(boss, ann)
    row = {"budget_limits-TOTAL_FORMS": "1", "budget_limits-0-user": ann.pk}
    values = {
        "period": "week",
        "amount_usd": "3",
        "boost_usd": "",
        "boost_until_0": "",
        "boost_until_1": "",
        "reason": "",
    }

    answer = boss.client.post(
        f"/mine/auth/user/{ann.pk}/change/",
        filled(page, **row, **{f"budget_limits-0-{name}": value for name, value in values.items()}),
    )

    assert answer.status_code == 302, Page(answer).errors
    limit = UserLimit.objects.get()
    assert (limit.user, limit.period, limit.amount_usd) == (ann, "week", 3)


def test_a_second_row_for_a_period_is_refused(boss, ann, limits):
    page = opened(boss, ann)

    answer = boss.client.post(f"/mine/auth/user/{ann.pk}/change/", filled(page, **{"budget_limits-1-period": "day"}))

    assert any("already" in error or "duplicate" in error for error in Page(answer).errors)
    assert UserLimit.objects.filter(period="month").exists()


@pytest.mark.parametrize("permissions", [["change_user", "view_user"], ["change_user", "view_user", "view_userlimit"]])
def test_those_who_may_not_change_limits_do_not(staff, ann, limits, permissions):
    page = opened(staff(*permissions), ann)

    assert not list(page.root.all("input", name="budget_limits-0-amount_usd"))
    assert ("budget_limits-group" in page.html) == ("view_userlimit" in permissions)


@override_settings(LANGUAGE_CODE="de")
def test_a_new_user_can_be_given_limits(boss):
    assert boss.client.get("/mine/auth/user/add/").status_code == 200


def test_a_row_that_somebody_else_changed_meanwhile_is_not_overwritten(boss, ann, limits):
    page = opened(boss, ann)
    UserLimit.objects.filter(pk=limits[0].pk).update(amount_usd=20)

    answer = Page(
        boss.client.post(
            f"/mine/auth/user/{ann.pk}/change/",
            filled(page, **{"budget_limits-0-amount_usd": "15", "email": "a@b.org"}),
        )
    )

    assert answer.errors[-2:] == [
        f"Somebody {CHANGED}: Limit (USD): $10.50 → $20.00. {ADVICE}",
        "It is $20.00 now.",
    ]
    assert UserLimit.objects.get(pk=limits[0].pk).amount_usd == 20

    boss.client.post(f"/mine/auth/user/{ann.pk}/change/", filled(answer))
    assert UserLimit.objects.get(pk=limits[0].pk).amount_usd == 15
    assert User.objects.get(pk=ann.pk).email == "a@b.org"


def test_rows_in_which_nothing_was_entered_stay_as_somebody_else_has_set_them(boss, ann, limits):
    page = opened(boss, ann)
    UserLimit.objects.filter(pk=limits[0].pk).update(amount_usd=20)

    boss.client.post(f"/mine/auth/user/{ann.pk}/change/", filled(page, email="a@b.org"))

    assert UserLimit.objects.get(pk=limits[0].pk).amount_usd == 20
    assert User.objects.get(pk=ann.pk).email == "a@b.org"
