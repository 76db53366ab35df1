"""“Remove override”: the defaults of the settings apply again, from the next call on."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.contrib.admin.models import DELETION, LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from coreason_budget import BudgetExceededError, service
from coreason_budget.models import ProjectLimit, UserLimit

from .conftest import booked
from .pages import Page
from .test_conflicts import confirmed

pytestmark = pytest.mark.usefixtures("ledger")


@pytest.fixture
def limits(ann):
    return [
        UserLimit.objects.create(user=ann, amount_usd=0, reason="pilot"),
        UserLimit.objects.create(user=ann, amount_usd=70, period="week"),
    ]


def history():
    return [
        (each.user.username, each.object_repr, each.get_change_message()) for each in LogEntry.objects.order_by("pk")
    ]


def test_it_says_first_what_will_apply(boss, limits):
    page = boss.act("userlimit", "remove_override", limits)

    assert page.root.one("h1").text == "Remove override"
    assert page.foreseen == [
        ["ann", "per day", "blocked", "$10.00, the default of the settings"],
        ["ann", "per week", "$70.00", "unlimited, the default of the settings"],
    ]
    assert UserLimit.objects.count() == 2
    assert history() == []


def test_the_default_applies_from_the_next_call_on(boss, ann, limits):
    with pytest.raises(BudgetExceededError):
        service.check(ann.pk)

    page = boss.act("userlimit", "remove_override", limits, confirmed="yes", reason="the pilot is over")

    assert not UserLimit.objects.exists()
    assert page.messages == [
        "2 limits were removed. From now on the defaults apply: $10.00 per day, unlimited per week."
    ]
    assert {status.period: status.limit for status in service.status(ann.pk) if status.scope == "user"} == {"day": 10}
    assert service.check(ann.pk, amount=10)


def test_what_was_spent_stays_counted(boss, ann, limits):
    booked(user_id=ann.pk, cost="9.5")

    boss.act("userlimit", "remove_override", limits, confirmed="yes", reason="")

    with pytest.raises(BudgetExceededError):
        service.check(ann.pk, amount="0.51")


def test_the_history_keeps_what_was_removed(boss, limits):
    boss.act("userlimit", "remove_override", limits, confirmed="yes", reason="the pilot is over")

    assert history() == [
        (
            "boss",
            "user ann: 0 USD / day",
            "Remove override: blocked → $10.00, the default of the settings. the pilot is over",
        ),
        (
            "boss",
            "user ann: 70 USD / week",
            "Remove override: $70.00 → unlimited, the default of the settings. the pilot is over",
        ),
    ]
    assert set(LogEntry.objects.values_list("action_flag", flat=True)) == {DELETION}


def test_a_boost_is_said_to_end_with_it(boss, settings):
    settings.TIME_ZONE = "UTC"
    end = timezone.now() + timedelta(days=2)
    boosted = ProjectLimit.objects.create(project_id="apollo", amount_usd=1, boost_usd=9, boost_until=end)

    page = boss.act("projectlimit", "remove_override", [boosted])

    assert page.foreseen == [
        [
            "apollo",
            "per day",
            f"$1.00, boosted to $9.00 until {end:%Y-%m-%d %H:%M} UTC",
            "$500.00, the default of the settings",
        ]
    ]


def test_from_the_form_of_a_limit_it_leads_to_the_list(boss, limits):
    page = boss.act("userlimit", "remove_override", limits[:1], origin="change_form")

    answer = boss.post("userlimit_changelist", **confirmed(page, reason=""))

    assert answer.redirect_chain == [("/admin/coreason_budget/userlimit/", 302)]
    assert Page(answer).messages == ["1 limit was removed. From now on the default applies: $10.00 per day."]


def test_sent_twice_it_says_that_all_is_done(boss, limits):
    sent = confirmed(boss.act("userlimit", "remove_override", limits), reason="")

    boss.post("userlimit_changelist", **sent)

    assert Page(boss.post("userlimit_changelist", **sent)).messages == ["What was chosen is gone. Nothing was changed."]
    assert len(history()) == 2


def test_what_somebody_has_changed_meanwhile_is_asked_again(boss, limits):
    page = boss.act("userlimit", "remove_override", limits)
    UserLimit.objects.filter(pk=limits[0].pk).update(amount_usd=20)

    page = Page(boss.post("userlimit_changelist", **confirmed(page, reason="")))

    assert page.errors == [
        "ann, per day: somebody has changed it meanwhile, it is now: $20.00. Nothing was saved; confirm again."
    ]
    assert UserLimit.objects.count() == 2


@pytest.mark.parametrize(
    ("permissions", "actions"),
    [
        (["view_userlimit"], set()),
        (["view_userlimit", "change_userlimit"], {"block_now", "boost_today"}),
        (["view_userlimit", "delete_userlimit"], {"remove_override", "delete_selected"}),
    ],
)
def test_it_needs_the_permission_to_delete(staff, limits, permissions, actions):
    somebody = staff(*permissions)

    assert somebody.get("userlimit_changelist").actions == actions
    assert ("remove_override" in somebody.get("userlimit_change", limits[0].pk).tools) == ("remove_override" in actions)

    somebody.act("userlimit", "remove_override", limits, confirmed="yes", reason="")
    assert UserLimit.objects.exists() != ("remove_override" in actions)


def test_it_costs_two_queries_for_each(boss, django_assert_num_queries):
    limits = [
        UserLimit.objects.create(user=User.objects.create_user(f"user{number}"), amount_usd=1) for number in range(5)
    ]
    boss.act("userlimit", "remove_override", limits[:1], confirmed="yes", reason="")
    chosen = [limit.pk for limit in limits[1:]]

    # As to ask; then a savepoint and its end, the limits as they are, and to delete and to log each.
    with django_assert_num_queries(5 + 3 + 4 * 2):
        boss.post(
            "userlimit_changelist",
            follow=False,
            action="remove_override",
            _selected_action=chosen,
            confirmed="yes",
            reason="",
        )

    assert not UserLimit.objects.exists()
