"""“Reset window”: what was spent counts no more against a limit, by what a page has shown of it, and never twice."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.db import connections
from django.urls import resolve, reverse

from coreason_budget import service
from coreason_budget.admin import limit_resets
from coreason_budget.admin.live import live_figures
from coreason_budget.models import GlobalLimit, SpendRecord, UserLimit

from .conftest import booked
from .pages import Page

pytestmark = pytest.mark.usefixtures("ledger")


@pytest.fixture
def limit(ann):
    limit = UserLimit.objects.create(user=ann, amount_usd="1")
    booked(user_id=ann.pk, project_id="apollo", cost="0.75", charge_id="c1")
    return limit


def sent(page, **answers):
    """Return what the page of confirmation sends."""
    names = ("action", "confirmed", "seen", "_selected_action")
    hidden = {name: [each.attributes["value"] for each in page.root.all("input", name=name)] for name in names}
    return {**hidden, "amount": "0", "reason": "a wild loop", **answers}


def confirm(who, page, **answers):
    return Page(who.post("userlimit_changelist", **sent(page, **answers)))


def counted(user):
    return {item.scope: item.spent for item in service.status(user.pk, "apollo") if item.period == "day"}


def adjustments():
    return list(SpendRecord.objects.filter(kind="adjustment").order_by("pk"))


def test_the_page_asks_first_and_says_what_is_spent(boss, limit, ann):
    service.reserve(ann.pk, "apollo", amount="0.125")

    page = boss.act("userlimit", "reset_window", [limit])

    assert [row[:2] + row[3:] for row in page.foreseen] == [
        ["ann", "per day", "$0.75", "$0.125", "counts as entered above"]
    ]
    assert page.root.one("input", name="amount").attributes["value"] == "0"
    assert adjustments() == []


@pytest.mark.parametrize("language", ["en", "de", "es", "ja"])
def test_no_two_columns_have_one_name(boss, limit, settings, language):
    settings.LANGUAGE_CODE = language

    page = boss.act("userlimit", "reset_window", [limit])

    heads = [head.text for head in page.root.one("div", "budget-foreseen").one("thead").all("th")]
    assert len(set(heads)) == len(heads) == 6


@pytest.mark.parametrize("amount", ["0", "0.25"])
def test_less_counts_for_this_user_alone_and_nothing_is_given_back(boss, limit, ann, amount):
    page = confirm(boss, boss.act("userlimit", "reset_window", [limit]), amount=amount)

    assert page.messages == ["1 window was reset."]
    assert counted(ann) == {"user": Decimal(amount), "project": Decimal("0.75"), "global": Decimal("0.75")}
    (record,) = adjustments()
    assert (record.cost_nanos, record.metadata["by"], record.metadata["reason"]) == (0, "boss", "a wild loop")
    entry = LogEntry.objects.get()
    told = entry.get_change_message()
    assert told.endswith(f"of $0.75 spent count ${Decimal(amount):.2f}. Reason: a wild loop")
    assert (entry.object_id, entry.user) == (str(limit.pk), boss.user)


def test_a_form_that_is_sent_twice_counts_once(boss, limit, ann):
    asked = boss.act("userlimit", "reset_window", [limit])
    confirm(boss, asked)
    booked(user_id=ann.pk, cost="0.75", charge_id="c2")

    page = confirm(boss, asked)

    assert page.messages[0].startswith("1 window was not reset: ann, per day: The day ")
    assert "was reset meanwhile" in page.messages[0]
    assert counted(ann)["user"] == Decimal("0.75")
    assert (len(adjustments()), LogEntry.objects.count()) == (1, 1)

    confirm(boss, boss.act("userlimit", "reset_window", [limit]))
    assert (counted(ann)["user"], len(adjustments())) == (0, 2)


@pytest.mark.parametrize("moment", ["before the figures are read", "after they are read"])
def test_what_another_has_reset_while_the_page_is_made_is_not_reset_once_more(
    boss, staff, limit, ann, monkeypatch, moment
):
    another = staff("view_userlimit", "reset_spendrecord")
    theirs = another.act("userlimit", "reset_window", [limit])
    read = live_figures

    def meanwhile(limits):
        monkeypatch.undo()
        figures = read(limits) if moment == "after they are read" else None
        confirm(another, theirs)
        booked(user_id=ann.pk, cost="0.75", charge_id="c2")
        return figures or read(limits)

    monkeypatch.setattr(limit_resets, "live_figures", meanwhile)
    asked = boss.act("userlimit", "reset_window", [limit])
    page = confirm(boss, asked)

    assert "was reset meanwhile" in page.messages[0]
    assert counted(ann)["user"] == Decimal("0.75")
    assert len(adjustments()) == 1


def test_what_is_spent_after_the_page_was_made_counts(boss, limit, ann):
    asked = boss.act("userlimit", "reset_window", [limit])
    booked(user_id=ann.pk, cost="0.125", charge_id="c2")

    confirm(boss, asked)

    assert counted(ann)["user"] == Decimal("0.125")


def test_each_stands_for_itself(boss, limit):
    idle = UserLimit.objects.create(user=User.objects.create_user("bob"), amount_usd="1")

    page = confirm(boss, boss.act("userlimit", "reset_window", [limit, idle]))

    assert page.messages == ["1 window was reset.", "1 window was not reset: bob, per day: nothing is spent"]


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"amount": "-1"}, "“-1” is negative. An amount is 0 or more."),
        ({"amount": ""}, "This field is required."),
        ({"reason": ""}, "This field is required."),
    ],
)
def test_what_cannot_be_is_asked_again(boss, limit, answers, said):
    page = confirm(boss, boss.act("userlimit", "reset_window", [limit]), **answers)

    assert page.errors == [said]
    assert adjustments() == []


@pytest.mark.parametrize(
    ("answers", "said"),
    [
        ({"amount": "0.75"}, "$0.75 is no less than what is spent, $0.75"),
        ({"seen": []}, "nothing is known of what you have seen of it; open the page again"),
        ({"seen": ["1:2026-11-28/-5/x"]}, "nothing is known of what you have seen of it; open the page again"),
    ],
)
def test_what_makes_no_sense_is_told_and_nothing_is_booked(boss, limit, answers, said):
    page = confirm(boss, boss.act("userlimit", "reset_window", [limit]), **answers)

    assert page.messages == [f"1 window was not reset: ann, per day: {said}"]
    assert adjustments() == []


@pytest.mark.parametrize("digits", [20, 5_000])
@pytest.mark.parametrize("shown", ["{window}/{long}/0", "{window}/750000000/{long}"])
def test_a_number_that_no_page_has_shown_is_not_taken(boss, limit, shown, digits):
    asked = boss.act("userlimit", "reset_window", [limit])
    window = asked.root.one("input", name="seen").attributes["value"].partition("/")[0]

    page = confirm(boss, asked, seen=[shown.format(window=window, long="9" * digits)])

    said = "nothing is known of what you have seen of it; open the page again"
    assert page.messages == [f"1 window was not reset: ann, per day: {said}"]
    assert adjustments() == []


def test_without_redis_nothing_is_asked(boss, limit, redis_down):
    page = boss.act("userlimit", "reset_window", [limit])

    assert any("What is spent is unknown at the moment" in message for message in page.messages)
    assert adjustments() == []


def test_the_records_show_it_as_a_kind_of_its_own(boss, limit):
    confirm(boss, boss.act("userlimit", "reset_window", [limit]))

    row = boss.get("spendrecord_changelist", kind__exact="adjustment").texts[0]

    assert (row["kind_of_record"], row["user"]) == ("adjustment $0.75 less counts per day", "ann")
    assert row["cost"] == "$0.00"


def test_the_overview_says_what_was_reset_of_the_site(boss, limit):
    site = GlobalLimit.objects.create(amount_usd="5")
    asked = boss.act("globallimit", "reset_window", [site])
    boss.post("globallimit_changelist", **sent(asked))

    text = boss.get("overview").root.text

    assert "$0.75 of it was reset: it counts no more against the limit." in text
    assert "still to count" not in text
    row = boss.get("spendrecord_changelist", kind__exact="adjustment").texts[0]
    assert row["user"] == "\N{EN DASH}"


@pytest.mark.parametrize(
    ("permissions", "may"),
    [
        (["view_userlimit", "change_userlimit", "refund_spendrecord"], False),
        (["view_userlimit", "reset_spendrecord"], True),
    ],
)
def test_it_needs_a_permission_of_its_own(staff, boss, limit, permissions, may):
    asked = boss.act("userlimit", "reset_window", [limit])
    somebody = staff(*permissions)

    assert ("reset_window" in somebody.get("userlimit_changelist").actions) == may
    assert ("reset_window" in somebody.get("userlimit_change", limit.pk).tools) == may
    confirm(somebody, asked)

    assert bool(adjustments()) == may


def test_it_is_in_no_transaction_of_its_request():
    address = resolve(reverse("admin:coreason_budget_userlimit_changelist"))
    for alias in (*connections, "another"):
        assert alias in getattr(address.func, "_non_atomic_requests")  # noqa: B009 - of no type that has it


def test_asking_costs_the_same_for_any_number(boss, ann, django_assert_num_queries):
    limits = [
        UserLimit.objects.create(user=User.objects.create_user(f"user{number}"), amount_usd=1) for number in range(9)
    ]
    for each in limits:
        booked(user_id=each.user_id, cost="0.5", charge_id=f"of-{each.user_id}")
    for chosen in (limits[:1], limits):
        boss.act("userlimit", "reset_window", chosen)
        # As the other actions, and what was reset before.
        with django_assert_num_queries(6):
            boss.act("userlimit", "reset_window", chosen)
