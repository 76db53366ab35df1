"""The lists of limits: what is allowed in words, what is spent live, by one round trip, and also without Redis."""

from __future__ import annotations

from datetime import timedelta
from decimal import Decimal

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from coreason_budget import service
from coreason_budget.admin import limit_filters
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit

from .conftest import booked

HOUR = timedelta(hours=1)

pytestmark = pytest.mark.usefixtures("ledger")


def limited(user, amount, **values):
    return UserLimit.objects.create(user=user, amount_usd=amount, **values)


def test_limits_are_shown_in_words(boss, ann):
    limited(ann, "10.500000000")
    limited(ann, None, period="week")
    limited(ann, 0, period="month")

    rows = {row["period"]: row for row in boss.get("userlimit_changelist").texts}

    assert {period: row["limit"] for period, row in rows.items()} == {
        "day": "$10.50",
        "week": "unlimited",
        "month": "blocked",
    }
    assert {row["whose"] for row in rows.values()} == {"ann"}


def test_what_is_spent_held_and_left_is_live(boss, ann):
    limited(ann, 10)
    booked(user_id=ann.pk, cost="2.341234567")
    service.reserve(ann.pk, amount="0.5")

    row = boss.get("userlimit_changelist").rows[0]

    assert row["usage"].text == "$2.35 of $10.00 $0.50 held"
    assert row["usage"].one("data").attributes["value"] == "2.341234567"
    assert row["remaining"].one("data").attributes == {
        "class": "budget-figure",
        "value": "7.158765433",
        "title": "$7.158765433",
    }
    assert row["remaining"].text == "$7.15"


def test_the_bar_says_in_words_and_widths_what_it_shows(boss, ann):
    limited(ann, 10)
    booked(user_id=ann.pk, cost="2.5")
    service.reserve(ann.pk, amount="0.5")

    meter = boss.get("userlimit_changelist").rows[0]["usage"].one("svg", role="meter")

    assert meter.attributes["aria-valuenow"] == "3.0"
    assert meter.attributes["aria-valuemax"] == "10"
    assert meter.attributes["aria-valuetext"] == "$2.50 of $10.00 spent, $0.50 held"
    widths = [rect.attributes["width"] for rect in meter.all("rect")]
    assert widths == ["100%", "30.00%", "25.00%"]


@pytest.mark.parametrize(
    ("spent", "limit", "state"),
    [("1", "10", "ok"), ("8", "10", "near"), ("10", "10", "over"), ("1", 0, "blocked"), ("1", None, "unlimited")],
)
def test_the_bar_says_how_much_room_is_left(boss, ann, spent, limit, state):
    limited(ann, limit)
    booked(user_id=ann.pk, cost=spent)

    usage = boss.get("userlimit_changelist").rows[0]["usage"]

    assert usage.one("span", "budget-usage").attributes["data-budget-state"] == state
    assert len(list(usage.all("svg"))) == (state in {"ok", "near", "over"})


def test_a_boost_is_shown_with_its_end_and_fills_the_bar(boss, ann, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    end = timezone.now().replace(microsecond=0) + HOUR
    limited(ann, 5, boost_usd=50, boost_until=end)
    booked(user_id=ann.pk, cost="10")

    row = boss.get("userlimit_changelist").rows[0]

    shown = f"{end.astimezone(timezone.get_current_timezone()):%Y-%m-%d %H:%M} JST"
    assert row["limit"].text == f"$5.00 boosted to $50.00 until {shown}"
    assert row["limit"].one("time").attributes["datetime"] == end.isoformat()
    assert row["usage"].text == "$10.00 of $50.00"


def test_a_boost_that_has_ended_is_told_apart(boss, ann):
    limited(ann, 5, boost_usd=50, boost_until=timezone.now() - HOUR)

    row = boss.get("userlimit_changelist").rows[0]

    assert row["limit"].text.startswith("$5.00 a boost to $50.00 ended ")
    assert row["usage"].text == "$0.00 of $5.00"


def test_the_reset_is_the_end_of_the_period_in_the_budgets_time_zone(boss, ann, settings):
    settings.TIME_ZONE = "UTC"
    settings.COREASON_BUDGET = {**settings.COREASON_BUDGET, "TIME_ZONE": "Europe/Berlin"}
    limited(ann, 5)

    resets = boss.get("userlimit_changelist").rows[0]["resets"].text

    assert resets.endswith(("22:00 UTC", "23:00 UTC"))


def test_the_whole_page_asks_redis_once(boss, asked, django_assert_num_queries):
    users = [User.objects.create_user(f"user{number}") for number in range(30)]
    for user in users:
        limited(user, 10)
        limited(user, 100, period="month")
        service.charge(user.pk, str(user.pk))
    boss.get("userlimit_changelist")  # what is remembered for all pages is read once
    asked.clear()

    with django_assert_num_queries(5):  # session, user, twice the number of limits, the limits with their users
        page = boss.get("userlimit_changelist")

    spent = {row["whose"].text: row["usage"].one("data").attributes["value"] for row in page.rows}
    assert len(page.rows) == 60
    assert spent == {user.username: str(user.pk) for user in users}
    assert len(asked) == 1


def test_accounts_that_redis_does_not_know_cost_two_queries_for_all(boss, asked, django_assert_num_queries):
    for number in range(30):
        limited(User.objects.create_user(f"user{number}"), 10)
    boss.get("userlimit_changelist")

    with django_assert_num_queries(8):  # the same, their limits, their sums, and what was reset
        assert len(boss.get("userlimit_changelist").rows) == 30


def test_an_empty_list_asks_redis_nothing(boss, asked):
    boss.get("projectlimit_changelist")

    assert asked == []


def test_without_redis_the_list_works_and_says_so_once(boss, ann, redis_down):
    limited(ann, 10)
    limited(ann, 20, period="week")

    page = boss.get("userlimit_changelist")

    assert [row["limit"] for row in page.texts] == ["$10.00", "$20.00"]
    assert {(row["usage"], row["remaining"]) for row in page.texts} == {("unknown", "unknown")}
    assert all(row["resets"].one("time").text for row in page.rows)
    assert len(page.messages) == 1
    assert "unknown at the moment" in page.messages[0]
    assert boss.get("userlimit_changelist").messages == page.messages


@pytest.mark.parametrize("term", ["ann", "ANN", "ann@example.org", "example.org"])
def test_users_are_found_by_name_and_address(boss, ann, term):
    limited(ann, 10)
    limited(User.objects.create_user("bob", "bob@example.com"), 10)

    assert [row["whose"] for row in boss.get("userlimit_changelist", q=term).texts] == ["ann"]


def test_users_are_found_by_primary_key_exactly(boss):
    for key, name in ((4, "four"), (40, "forty"), (42, "forty-two")):
        limited(User.objects.create_user(name, pk=key), 10)

    assert [row["whose"] for row in boss.get("userlimit_changelist", q="4").texts] == ["four"]
    assert [row["whose"] for row in boss.get("userlimit_changelist", q="42").texts] == ["forty-two"]


def test_projects_are_found_by_a_part_of_their_id(boss):
    for name in ("apollo", "gemini"):
        ProjectLimit.objects.create(project_id=name, amount_usd=1)

    assert [row["whose"] for row in boss.get("projectlimit_changelist", q="poll").texts] == ["apollo"]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, {"ten", "none", "zero", "lifted", "lowered", "ended"}),
        ({"now": "blocked"}, {"zero", "lowered"}),
        ({"now": "unlimited"}, {"none"}),
        ({"now": "limited"}, {"ten", "lifted", "ended"}),
        ({"boost": "now"}, {"lifted", "lowered"}),
        ({"boost": "ended"}, {"ended"}),
        ({"boost": "none"}, {"ten", "none", "zero"}),
        ({"period__exact": "day"}, {"ten", "none", "zero", "lifted", "lowered", "ended"}),
        ({"period__exact": "week"}, set()),
    ],
)
def test_filters_look_at_what_counts_now(boss, query, found):
    now = timezone.now()
    limits = {
        "ten": (10, None, None),
        "none": (None, None, None),
        "zero": (0, None, None),
        "lifted": (0, 5, now + HOUR),
        "lowered": (None, 0, now + HOUR),
        "ended": (7, 0, now - HOUR),
    }
    for name, (amount, boost, until) in limits.items():
        ProjectLimit.objects.create(project_id=name, amount_usd=amount, boost_usd=boost, boost_until=until)

    page = boss.get("projectlimit_changelist", **query)

    assert {row["whose"] for row in page.texts} == found if found else "0 project limits" in page.root.text


@pytest.mark.parametrize(
    ("status", "found", "said"),
    [
        ("ok", {"ann", "gus"}, "ok"),
        ("near", {"bert"}, "nearly used up"),
        ("over", {"carl"}, "used up"),
        ("blocked", {"dora"}, "blocked"),
        ("unlimited", {"emil"}, "unlimited"),
        ("nonsense", {"ann", "bert", "carl", "dora", "emil", "gus"}, None),
    ],
)
def test_limits_are_found_by_how_much_room_there_is_now(boss, monkeypatch, status, found, said):
    monkeypatch.setattr(limit_filters, "_AT_ONCE", 2)
    spent = {
        "ann": ("10", "7.99"),
        "bert": ("10", "8"),
        "carl": ("10", "9.5"),
        "dora": ("0", "1"),
        "emil": (None, "99"),
    }
    for name, (amount, cost) in spent.items():
        user = User.objects.create_user(name)
        limited(user, amount)
        booked(user_id=user.pk, cost=cost)
    service.reserve(User.objects.get(username="carl").pk, amount="0.5")
    limited(User.objects.create_user("gus"), 10)  # who has never called

    rows = boss.get("userlimit_changelist", room=status).texts

    assert {row["whose"] for row in rows} == found
    assert said is None or {row["status"] for row in rows} == {said}


@pytest.mark.usefixtures("redis_down")
def test_without_redis_nobody_is_said_to_be_near_a_limit(boss, ann):
    limited(ann, 10)

    page = boss.get("userlimit_changelist", room="near")
    assert page.response.context["cl"].result_count == 0
    assert page.messages[0].startswith("Who is near a limit is unknown at the moment: Redis cannot be used")
    assert boss.get("userlimit_changelist").texts[0]["status"] == "unknown"


def test_too_many_limits_are_not_looked_at(boss, ann, monkeypatch, asked):
    monkeypatch.setattr(limit_filters, "MOST_LOOKED_AT", 1)
    limited(ann, 10)
    limited(ann, 10, period="week")
    asked.clear()

    page = boss.get("userlimit_changelist", room="ok")

    assert page.response.context["cl"].result_count == 0
    assert asked == []
    assert page.messages == ["Filter by something else first: the status of at most 1 limits is looked at."]
    assert len(boss.get("userlimit_changelist", room="ok", period__exact="week").texts) == 1


def test_the_counts_of_filters_can_be_shown(boss, ann):
    limited(ann, 0)

    assert "blocked (1)" in boss.get("userlimit_changelist", _facets="True").root.text


def test_the_site_has_a_list_by_period(boss):
    GlobalLimit.objects.create(period="day", amount_usd=Decimal("0.000000001"))
    GlobalLimit.objects.create(period="month", amount_usd=1_000_000_000)

    rows = boss.get("globallimit_changelist").texts

    assert [(row["period"], row["limit"]) for row in rows] == [("day", "$0.000000001"), ("month", "$1,000,000,000.00")]
