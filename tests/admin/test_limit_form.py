"""The form of a limit: nothing is guessed, nothing is rounded, and what is refused is named."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.forms import modelform_factory
from django.utils import timezone

from coreason_budget import service
from coreason_budget.admin.limit_forms import LimitForm
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit

from .pages import Page

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
NOTHING = "\N{EN DASH}"

pytestmark = pytest.mark.usefixtures("ledger")


def filled(**values):
    """Return the form of a limit as a browser sends it."""
    boost = values.pop("boost_until", None)
    ends = {"boost_until_0": f"{boost:%Y-%m-%d}", "boost_until_1": f"{boost:%H:%M:%S}"} if boost else {}
    return {"period": "day", "amount_usd": "", "boost_usd": "", "reason": "", **ends, **values}


def add_project(boss, **values):
    return Page(boss.post("projectlimit_add", **filled(project_id="apollo", **values)))


@pytest.fixture
def apollo():
    return ProjectLimit.objects.create(project_id="apollo", amount_usd="10.500000000", reason="pilot")


# amounts


def test_an_empty_amount_is_not_taken_for_unlimited(boss):
    page = add_project(boss)

    assert page.errors == ["Enter an amount, 0 to block every call, or tick “unlimited”."]
    assert not ProjectLimit.objects.exists()


def test_unlimited_is_said_with_a_tick(boss):
    add_project(boss, unlimited="on")

    assert ProjectLimit.objects.get().amount_usd is None


def test_an_amount_and_the_tick_contradict_each_other(boss):
    page = add_project(boss, amount_usd="10", unlimited="on")

    assert page.errors == ["Either an amount or “unlimited”, not both: “10” was entered."]
    assert not ProjectLimit.objects.exists()


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("0", "0"),
        ("-0", "0"),
        ("0e-999999999999", "0"),
        ("10", "10"),
        (" 10.5 ", "10.5"),
        ("1e3", "1000"),
        ("0.000000001", "0.000000001"),
        ("10.50000000000000", "10.5"),
        ("1000000000", "1000000000"),
        ("123456.123456789", "123456.123456789"),  # as many digits as SQLite keeps,
    ],
)
def test_amounts_are_kept_exactly(boss, typed, kept):
    add_project(boss, amount_usd=typed)

    assert ProjectLimit.objects.get().amount_usd == Decimal(kept)


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        ("abc", "“abc” is not an amount. Write it with digits and a point, such as 0.05."),
        ("1,5", "“1,5” is not an amount. Write it with digits and a point, such as 0.05."),
        ("1_000", "“1_000” is not an amount. Write it with digits and a point, such as 0.05."),
        ("NaN", "“NaN” is not an amount. Write it with digits and a point, such as 0.05."),
        ("Infinity", "“Infinity” is not an amount. Write it with digits and a point, such as 0.05."),
        ("-1", "“-1” is negative. An amount is 0 or more."),
        ("1000000000.1", "“1000000000.1” is too much. An amount is at most $1,000,000,000.00."),
        ("1e999999", "“1e999999” is too much. An amount is at most $1,000,000,000.00."),
        ("0.0000000001", "“0.0000000001” has more than 9 decimal places."),
        ("1.0000000001", "“1.0000000001” has more than 9 decimal places."),
        ("1e-999999", "“1e-999999” has more than 9 decimal places."),
        ("1e-999999999999", "“1e-999999999999” has more than 9 decimal places."),
        ("9" * 50 + "x", "“" + "9" * 40 + "…” is not an amount. Write it with digits and a point, such as 0.05."),
    ],
)
def test_what_is_no_amount_is_refused_by_name(boss, typed, said):
    assert add_project(boss, amount_usd=typed).errors == [said]
    assert not ProjectLimit.objects.exists()


def test_amounts_are_shown_without_trailing_zeros(boss, apollo):
    page = boss.get("projectlimit_change", apollo.pk)

    assert page.root.one("input", name="amount_usd").attributes["value"] == "10.5"
    assert "checked" not in page.root.one("input", name="unlimited").attributes


def test_what_is_unlimited_is_shown_ticked(boss):
    limit = ProjectLimit.objects.create(project_id="apollo", amount_usd=None)
    page = boss.get("projectlimit_change", limit.pk)

    assert "value" not in page.root.one("input", name="amount_usd").attributes
    assert "checked" in page.root.one("input", name="unlimited").attributes
    boss.post("projectlimit_change", limit.pk, **filled(unlimited="on", reason="still"))
    limit.refresh_from_db()
    assert (limit.amount_usd, limit.reason) == (None, "still")


def test_every_field_of_the_form_has_a_label(boss, apollo):
    for page in (boss.get("projectlimit_add"), boss.get("projectlimit_change", apollo.pk)):
        labelled = {label.attributes.get("for") for label in page.root.all("label")}
        form = page.root.one("form", id="projectlimit_form")
        fields = [
            field.attributes["id"]
            for tag in ("input", "select", "textarea")
            for field in form.all(tag)
            if field.attributes.get("type") not in {"hidden", "submit"} and not field.attributes.get("aria-label")
        ]
        assert set(fields) <= labelled


def test_time_zones_are_said_beside_the_fields(boss, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    settings.COREASON_BUDGET = {**settings.COREASON_BUDGET, "TIME_ZONE": "Europe/Berlin"}

    text = boss.get("projectlimit_add").root.text

    assert "Time zone: Asia/Tokyo." in text
    assert "months of the time zone Europe/Berlin." in text


# one limit for each subject and period


@pytest.mark.parametrize(
    ("model", "subject", "said"),
    [
        ("projectlimit", {"project_id": "apollo"}, "There is a limit of apollo per day already: $10.50."),
        ("globallimit", {}, "There is a limit of the whole site per day already: $10.50."),
        ("userlimit", {"user": "1"}, "There is a limit of ann per day already: $10.50."),
    ],
)
def test_a_second_limit_is_an_error_that_leads_to_the_first(boss, model, subject, said):
    ann = User.objects.create_user("ann", pk=77)
    first = {
        "projectlimit": lambda: ProjectLimit.objects.create(project_id="apollo", amount_usd="10.5"),
        "globallimit": lambda: GlobalLimit.objects.create(amount_usd="10.5"),
        "userlimit": lambda: UserLimit.objects.create(user=ann, amount_usd="10.5"),
    }[model]()
    whose = {"user": ann.pk} if "user" in subject else subject

    page = Page(boss.post(f"{model}_add", **filled(amount_usd="3", **whose)))

    assert page.errors == [f"{said} Change that one."]
    errors = page.root.one("ul", "errorlist")
    assert errors.one("a").attributes["href"] == f"/admin/coreason_budget/{model}/{first.pk}/change/"
    assert type(first)._default_manager.count() == 1
    Page(boss.post(f"{model}_add", **filled(amount_usd="3", **whose, period="week")))
    assert type(first)._default_manager.count() == 2


def test_a_second_limit_is_an_error_also_where_the_first_has_no_page(apollo, settings):
    model_form = modelform_factory(
        ProjectLimit, form=LimitForm, fields=["project_id", "period", "amount_usd", "boost_usd", "boost_until"]
    )
    settings.ROOT_URLCONF = ()

    form = model_form(filled(project_id="apollo", amount_usd="3"))

    assert form.non_field_errors().as_data()[0].messages == [
        'There is a limit of <bdi class="budget-name">apollo</bdi> per day already: $10.50.'
    ]


def test_whose_limit_it_is_does_not_change(boss, apollo):
    page = boss.get("projectlimit_change", apollo.pk)
    assert not list(page.root.all("input", name="project_id"))
    assert not list(page.root.all("select", name="period"))

    boss.post("projectlimit_change", apollo.pk, **filled(project_id="gemini", period="week", amount_usd="3"))

    apollo.refresh_from_db()
    assert (apollo.project_id, apollo.period, apollo.amount_usd) == ("apollo", "day", 3)


def test_project_ids_that_the_ledger_would_refuse_are_refused(boss):
    page = Page(boss.post("projectlimit_add", **filled(project_id="x" * 201, amount_usd="1")))

    assert len(page.errors) == 1
    assert not ProjectLimit.objects.exists()


# boosts


def test_a_boost_is_saved_in_the_time_zone_that_is_shown(boss, settings):
    settings.TIME_ZONE = "Asia/Tokyo"
    tomorrow = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0) + 2 * DAY

    add_project(boss, amount_usd="1", boost_usd="5", boost_until=tomorrow)

    limit = ProjectLimit.objects.get()
    assert limit.boost_until == tomorrow - timedelta(hours=9)
    assert limit.effective_usd() == 5


def test_a_new_boost_must_end_later_than_now(boss, settings):
    settings.TIME_ZONE = "UTC"

    page = add_project(boss, amount_usd="1", boost_usd="5", boost_until=NOW.replace(year=2020))

    assert page.errors == ["2020-11-23 12:00 UTC has passed. A boost must end later than now."]
    assert not ProjectLimit.objects.exists()


@pytest.mark.parametrize("values", [{"boost_usd": "5"}, {"boost_until": NOW.replace(year=2090)}])
def test_a_boost_needs_an_amount_and_an_end(boss, values):
    assert add_project(boss, amount_usd="1", **values).errors == ["A boost needs both an amount and an end."]


def test_a_boost_that_has_ended_stays_until_it_is_changed(boss, apollo, settings):
    settings.TIME_ZONE = "UTC"
    ended = NOW.replace(year=2020)
    ProjectLimit.objects.update(boost_usd=50, boost_until=ended)
    as_it_is = filled(amount_usd="11", boost_usd="50", boost_until=ended)

    boss.post("projectlimit_change", apollo.pk, **as_it_is)
    apollo.refresh_from_db()
    assert (apollo.amount_usd, apollo.boost_until) == (11, ended)

    page = Page(boss.post("projectlimit_change", apollo.pk, **{**as_it_is, "boost_usd": "60"}))
    assert page.errors == ["2020-11-23 12:00 UTC has passed. A boost must end later than now."]


# what is said


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"amount_usd": "2.5"}, "Apollo may spend $2.50 per day from now on."),
        ({"unlimited": "on"}, "Apollo may spend without limit per day from now on."),
        ({"amount_usd": "0"}, "Apollo is blocked from now on: every call is refused."),
        (
            {"amount_usd": "0", "boost_usd": "3", "boost_until": NOW.replace(year=2090)},
            "Apollo may spend $3.00 per day from now on. The boost ends 2090-11-23 12:00 UTC; then it is: blocked.",
        ),
    ],
)
def test_the_message_says_what_holds_now(boss, settings, values, said):
    settings.TIME_ZONE = "UTC"

    messages = add_project(boss, **values).messages

    assert messages[0].lower() == said.lower()
    assert len(messages) == 2


def test_the_history_tells_old_and_new_values(boss, apollo, settings):
    settings.TIME_ZONE = "UTC"

    boss.post(
        "projectlimit_change",
        apollo.pk,
        **filled(unlimited="on", boost_usd="5", boost_until=NOW.replace(year=2090), reason="launch"),
    )

    told = set(LogEntry.objects.get().get_change_message().split("; "))
    assert told == {
        "Limit (USD): $10.50 → unlimited",
        f"Boosted limit (USD): {NOTHING} → $5.00",
        f"Boost ends: {NOTHING} → 2090-11-23 12:00 UTC",
        "Reason: pilot → launch",
    }
    assert "unlimited" in boss.get("projectlimit_history", apollo.pk).root.text


def test_the_history_says_when_nothing_was_changed(boss, apollo):
    boss.post("projectlimit_change", apollo.pk, **filled(amount_usd="10.5", reason="pilot"))

    assert LogEntry.objects.get().get_change_message() == "No fields changed."


def test_the_form_shows_how_the_account_stands_and_when_it_was_changed(boss, apollo, asked):
    service.charge("ann", "4", "apollo")
    service.reserve("ann", "apollo", amount="0.5")
    boss.get("projectlimit_change", apollo.pk)
    asked.clear()

    page = boss.get("projectlimit_change", apollo.pk)

    account = page.root.one("div", "field-now")
    assert "$4.00 of $10.50" in account.text
    assert "$0.50 held" in account.text
    assert "remaining $6.00" in account.text
    assert len(asked) == 1
    assert page.root.one("div", "field-created").one("time").attributes["datetime"] == apollo.created_at.isoformat()
    assert page.root.one("div", "field-changed").one("time").attributes["datetime"] == apollo.updated_at.isoformat()


def test_the_form_works_without_redis(boss, apollo, redis_down):
    assert "unknown" in boss.get("projectlimit_change", apollo.pk).root.one("div", "field-now").text

    assert add_project(boss, amount_usd="7", period="week").errors == []
    assert ProjectLimit.objects.count() == 2


@pytest.mark.parametrize(
    ("view", "queries"),
    [("userlimit_add", 2), ("userlimit_change", 3), ("projectlimit_change", 3), ("globallimit_change", 3)],
)
def test_forms_have_a_fixed_number_of_queries(boss, ann, view, queries, django_assert_num_queries):
    limits = {
        "userlimit_change": UserLimit.objects.create(user=ann, amount_usd=1),
        "projectlimit_change": ProjectLimit.objects.create(project_id="apollo", amount_usd=1),
        "globallimit_change": GlobalLimit.objects.create(amount_usd=1),
    }
    args = [limits[view].pk] if view in limits else []
    service.status(ann.pk, "apollo")
    boss.get(view, *args)

    with django_assert_num_queries(queries):  # the session, the user, and the limit
        boss.get(view, *args)
