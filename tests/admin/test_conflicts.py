"""Two admins with one row open: the second is told what the first has set, and nothing that either entered is lost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.utils import timezone

from coreason_budget.models import ModelPrice, ProjectLimit, UserLimit

from .conftest import Staff
from .pages import Page, entered

pytestmark = pytest.mark.usefixtures("ledger")

CHANGED = "has changed this while you had it open"
ADVICE = "Nothing was saved. What you entered is still here, all else is as it is now. Save again if it shall be so."


@pytest.fixture
def apollo():
    return ProjectLimit.objects.create(project_id="apollo", amount_usd="10", reason="pilot")


@pytest.fixture
def other():
    return Staff(User.objects.create_superuser("other"))


def sent(page, **values):
    """Return the form of a page as a browser sends it, with other values in some fields."""
    form = next(form for form in page.root.all("form") if form.attributes.get("id", "").endswith("_form"))
    return {name: value for name, value in {**entered(form), **values}.items() if value is not None}


def shown(page, name):
    return page.root.one("input", name=name).attributes.get("value", "")


def test_the_second_is_told_what_the_first_has_set(boss, other, apollo):
    first, second = boss.get("projectlimit_change", apollo.pk), other.get("projectlimit_change", apollo.pk)
    boss.post("projectlimit_change", apollo.pk, **sent(first, amount_usd="20", reason="launch"))

    page = Page(other.post("projectlimit_change", apollo.pk, **sent(second, amount_usd="15")))

    assert page.errors == [
        f"boss has changed this while you had it open: Limit (USD): $10.00 → $20.00; Reason: pilot → launch. {ADVICE}",
        "It is $20.00 now.",
    ]
    apollo.refresh_from_db()
    assert (apollo.amount_usd, apollo.reason) == (20, "launch")
    assert (shown(page, "amount_usd"), shown(page, "reason")) == ("15", "launch")
    assert LogEntry.objects.count() == 1


def test_whoever_saves_again_has_seen_it(boss, other, apollo):
    first, second = boss.get("projectlimit_change", apollo.pk), other.get("projectlimit_change", apollo.pk)
    boss.post("projectlimit_change", apollo.pk, **sent(first, amount_usd="20", reason="launch"))
    page = Page(other.post("projectlimit_change", apollo.pk, **sent(second, amount_usd="15")))

    other.post("projectlimit_change", apollo.pk, **sent(page))

    apollo.refresh_from_db()
    assert (apollo.amount_usd, apollo.reason) == (15, "launch")
    assert LogEntry.objects.latest("pk").get_change_message() == "Limit (USD): $20.00 → $15.00"


def test_a_third_change_is_told_too(boss, other, apollo):
    page = other.get("projectlimit_change", apollo.pk)
    ProjectLimit.objects.update(amount_usd=20)
    page = Page(other.post("projectlimit_change", apollo.pk, **sent(page, reason="mine")))
    ProjectLimit.objects.update(amount_usd=30)

    page = Page(other.post("projectlimit_change", apollo.pk, **sent(page)))

    assert page.errors == [f"Somebody has changed this while you had it open: Limit (USD): $20.00 → $30.00. {ADVICE}"]
    assert (shown(page, "amount_usd"), shown(page, "reason")) == ("30", "mine")


def test_a_form_in_which_nothing_was_entered_undoes_nothing(boss, apollo):
    page = boss.get("projectlimit_change", apollo.pk)
    end = timezone.now() + timedelta(days=3, microseconds=7)
    ProjectLimit.objects.update(amount_usd=None, boost_usd=50, boost_until=end, reason="launch")

    saved = Page(boss.post("projectlimit_change", apollo.pk, **sent(page)))

    assert saved.errors == []
    apollo.refresh_from_db()
    assert (apollo.amount_usd, apollo.boost_usd, apollo.reason) == (None, 50, "launch")
    assert apollo.boost_until.replace(microsecond=0) == end.replace(microsecond=0)
    assert LogEntry.objects.get().get_change_message() == "No fields changed."


@pytest.mark.parametrize(
    ("theirs", "mine", "kept"),
    [
        ({"amount_usd": None}, {"amount_usd": "15"}, ("15", False)),
        ({"amount_usd": "20"}, {"amount_usd": "", "unlimited": "on"}, ("", True)),
    ],
)
def test_an_amount_and_its_tick_are_one_answer(boss, apollo, theirs, mine, kept):
    page = boss.get("projectlimit_change", apollo.pk)
    ProjectLimit.objects.update(**theirs)

    page = Page(boss.post("projectlimit_change", apollo.pk, **sent(page, **mine)))

    assert len(page.errors) == 2
    tick = page.root.one("input", name="unlimited").attributes
    assert (shown(page, "amount_usd"), "checked" in tick) == kept


def test_a_boost_and_its_end_are_one_answer(boss, apollo, settings):
    settings.TIME_ZONE = "UTC"
    mine, theirs = (datetime(2090, 11, day, tzinfo=UTC) for day in (23, 24))
    ProjectLimit.objects.update(boost_usd=40, boost_until=mine)
    page = boss.get("projectlimit_change", apollo.pk)
    ProjectLimit.objects.update(boost_until=theirs)

    page = Page(boss.post("projectlimit_change", apollo.pk, **sent(page, boost_usd="50")))

    assert page.errors == [
        f"Somebody {CHANGED}: Boost ends: 2090-11-23 00:00 UTC → 2090-11-24 00:00 UTC. {ADVICE}",
        "It is 2090-11-24 00:00 UTC now.",
    ]
    assert (shown(page, "boost_usd"), shown(page, "boost_until_0")) == ("50", "2090-11-23")


def test_nobody_is_named_who_has_not_made_this_change(boss, other, apollo):
    first, second = boss.get("projectlimit_change", apollo.pk), other.get("projectlimit_change", apollo.pk)
    boss.post("projectlimit_change", apollo.pk, **sent(first, amount_usd="20"))
    apollo.refresh_from_db()
    apollo.amount_usd = 30
    apollo.save()

    page = Page(other.post("projectlimit_change", apollo.pk, **sent(second, amount_usd="15")))

    assert page.errors[0].startswith("Somebody has changed this")


@pytest.mark.parametrize("seen", ["", "{", "[]", '"x"', "7", '{"amount_usd": "x"}', '{"amount_usd": [1]}', None])
def test_a_form_that_says_nothing_of_what_it_showed_is_not_checked(boss, apollo, seen):
    page = boss.get("projectlimit_change", apollo.pk)
    ProjectLimit.objects.update(amount_usd=20)

    boss.post("projectlimit_change", apollo.pk, **sent(page, amount_usd="15", seen=seen))

    apollo.refresh_from_db()
    assert apollo.amount_usd == 15


def test_what_was_deleted_meanwhile_is_said_to_be_gone(boss, apollo):
    page = boss.get("projectlimit_change", apollo.pk)
    ProjectLimit.objects.all().delete()

    answer = boss.post("projectlimit_change", apollo.pk, **sent(page, amount_usd="15"))

    assert "Perhaps it was deleted?" in Page(answer).messages[0]
    assert not ProjectLimit.objects.exists()


def test_prices_are_not_overwritten_either(boss, other):
    price = ModelPrice.objects.create(model="gpt", input_usd_per_million="2.5", output_usd_per_million=10)
    first, second = boss.get("modelprice_change", price.pk), other.get("modelprice_change", price.pk)
    boss.post("modelprice_change", price.pk, **sent(first, input_usd_per_million="3", is_free="on"))

    page = Page(other.post("modelprice_change", price.pk, **sent(second, output_usd_per_million="12")))

    assert page.errors == [f"boss {CHANGED}: Input, USD per million tokens: $2.50 → $3.00; Free: no → yes. {ADVICE}"]
    price.refresh_from_db()
    assert (price.input_usd_per_million, price.output_usd_per_million) == (Decimal(3), Decimal(10))
    assert shown(page, "output_usd_per_million") == "12"
    assert "checked" in page.root.one("input", name="is_free").attributes


def test_the_form_of_a_user_limit_names_its_user_in_the_history(boss, ann):
    limit = UserLimit.objects.create(user=ann, amount_usd=1)

    boss.post("userlimit_change", limit.pk, **sent(boss.get("userlimit_change", limit.pk), amount_usd="2"))

    assert LogEntry.objects.get().object_repr == "user ann: 2 USD / day"


# actions


def confirmed(page, **values):
    """Return the page of confirmation as a browser sends it."""
    form = page.root.one("div", id="content-main").one("form")
    fields = [(field.attributes["name"], field.attributes["value"]) for field in form.all("input", type="hidden")]
    return {**{name: [value for key, value in fields if key == name] for name, _ in fields}, **values}


@pytest.mark.parametrize(("action", "values"), [("block_now", {}), ("boost_today", {"amount": "50"})])
def test_an_action_is_asked_again_about_what_has_changed_meanwhile(boss, apollo, action, values):
    gemini = ProjectLimit.objects.create(project_id="gemini", amount_usd=5)
    page = boss.act("projectlimit", action, [apollo, gemini])
    ProjectLimit.objects.filter(pk=apollo.pk).update(amount_usd=20)

    page = Page(boss.post("projectlimit_changelist", **confirmed(page, reason="now", **values)))

    assert page.errors == [
        "apollo, per day: somebody has changed it meanwhile, it is now: $20.00. Nothing was saved; confirm again."
    ]
    assert page.foreseen[0][2] == "$20.00"
    assert page.root.one("input", name="reason").attributes["value"] == "now"
    assert not LogEntry.objects.exists()

    boss.post("projectlimit_changelist", **confirmed(page, reason="now", **values))
    assert set(ProjectLimit.objects.values_list("reason", flat=True)) == {"now"}
