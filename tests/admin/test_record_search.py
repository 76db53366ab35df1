"""Finding records among millions: exact searches, ranges of days, and the plans that the database makes for them."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection, models
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from coreason_budget.admin import user_choice
from coreason_budget.models import SpendRecord

from .test_records import ids, kept

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
DAY = timedelta(days=1)
TABLE = "coreason_budget_spendrecord"

pytestmark = pytest.mark.usefixtures("ledger")


@pytest.fixture
def records(ann):
    """Return three people's records, one of them refunded."""
    bob = User.objects.create_user("bob", "bob@example.org")
    kept("c1", user_id=str(ann.pk), project_id="apollo")
    kept("c2", user_id=str(ann.pk), project_id="gemini")
    kept("c3", user_id=str(bob.pk), project_id="apollo")
    kept("refund:c3", user_id=str(bob.pk), project_id="apollo", kind="refund", cost_nanos=-1)
    kept("c4", user_id="", project_id="")
    return {"ann": ann, "bob": bob}


@pytest.mark.parametrize(
    ("term", "found"),
    [
        ("c1", {"c1"}),
        ("c3", {"c3", "refund:c3"}),
        ("ann", {"c1", "c2"}),
        ("bob", {"c3", "refund:c3"}),
        ("apollo", {"c1", "c3", "refund:c3"}),
        (" apollo ", {"c1", "c3", "refund:c3"}),
        ("", {"c1", "c2", "c3", "refund:c3", "c4"}),
        ("Ann", set()),
        ("apol", set()),
        ("c", set()),
        ("ann apollo", set()),
        ("'; --", set()),
        ("%", set()),
    ],
)
def test_a_search_finds_exactly(boss, records, term, found):
    page = boss.get("spendrecord_changelist", q=term)

    assert (set(ids(page)) if found else page.response.context["cl"].result_count) == (found or 0)


def test_a_search_finds_users_by_primary_key(boss, records):
    page = boss.get("spendrecord_changelist", q=str(records["ann"].pk))

    assert set(ids(page)) == {"c1", "c2"}


def test_a_name_that_is_a_users_and_a_projects_finds_both(boss, records):
    kept("c5", project_id="ann", user_id="x")

    assert set(ids(boss.get("spendrecord_changelist", q="ann"))) == {"c1", "c2", "c5"}


def test_users_that_django_does_not_know_are_found_by_their_id(boss):
    kept("c1", user_id="team-7")

    assert ids(boss.get("spendrecord_changelist", q="team-7")) == ["c1"]


@pytest.mark.parametrize("term", ["9" * 30, "\0", "x" * 3000, "\N{RIGHT-TO-LEFT OVERRIDE}"])
def test_a_search_for_what_nobody_can_be_finds_nothing_or_all(boss, records, term):
    assert boss.get("spendrecord_changelist", q=term).response.context["cl"].result_count in {0, 5}
    assert boss.get("userlimit_changelist", q=term).response.context["cl"].result_count == 0


def test_users_whose_name_is_a_number_are_found_by_it_alone():
    field = models.PositiveIntegerField(unique=True, name="number")
    assert [user_choice._may_be(field, term) for term in ("5", "ann", "-1", str(10**30))] == [
        True,
        False,
        False,
        False,
    ]


def test_what_is_found_is_sorted_by_time(boss, ann):
    for number, charge_id in enumerate(["new", "old", "older"]):
        kept(charge_id, user_id=str(ann.pk), at=NOON - number * DAY)

    assert ids(boss.get("spendrecord_changelist", q="ann")) == ["new", "old", "older"]


# days


@pytest.fixture
def days():
    """Return a record for noon of each day around the 23rd of November, a Monday, and for the edges of that day."""
    for number in range(-40, 3):
        day = NOON + number * DAY
        kept(f"{day:%m-%d}", at=day)
    kept("first", at=NOON.replace(hour=0))
    kept("last", at=NOON.replace(hour=23, minute=59, second=59, microsecond=999_999))


@pytest.mark.parametrize(
    ("query", "number", "some"),
    [
        ({"from": "2026-11-23", "until": "2026-11-23"}, 3, {"first", "11-23", "last"}),
        ({"from": "2026-11-24"}, 2, {"11-24", "11-25"}),
        ({"until": "2026-10-15"}, 2, {"10-14", "10-15"}),
        ({"from": "2026-11-22", "until": "2026-11-24"}, 5, {"11-22", "11-24"}),
        ({"from": "2026-11-24", "until": "2026-11-22"}, 0, set()),
        ({"from": "", "until": ""}, 45, {"10-14", "11-25"}),
        ({"from": "0001-01-01", "until": "9998-12-31"}, 45, {"10-14", "11-25"}),
    ],
)
def test_days_are_ranges_that_include_both_ends(boss, days, query, number, some):
    page = boss.get("spendrecord_changelist", **query)

    assert page.response.context["cl"].result_count == number
    assert some <= (set(ids(page)) if number else set())


def test_days_are_those_of_the_budgets_time_zone(boss, days, settings):
    settings.COREASON_BUDGET = {**settings.COREASON_BUDGET, "TIME_ZONE": "Asia/Tokyo"}

    page = boss.get("spendrecord_changelist", **{"from": "2026-11-23", "until": "2026-11-23"})

    assert set(ids(page)) == {"first", "11-23"}
    assert "in the time zone Asia/Tokyo" in page.root.text


@pytest.mark.parametrize("text", ["yesterday", "2026-13-01", "23.11.2026", "9999-12-31"])
def test_what_is_no_day_leads_to_the_whole_list(boss, text):
    answer = boss.client.get("/admin/coreason_budget/spendrecord/", {"until": text})

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/coreason_budget/spendrecord/?e=1")


@pytest.mark.parametrize(
    ("name", "number"),
    [("Any day", 45), ("Today", 3), ("Yesterday", 1), ("Past 7 days", 9), ("This month", 25), ("Last month", 18)],
)
def test_the_ranges_that_are_asked_for_most_are_links(boss, days, name, number):
    with freeze_time(NOON):
        boss.client.force_login(boss.user)
        page = boss.get("spendrecord_changelist", kind__exact="charge")
        link = next(link for link in page.root.all("a") if link.text == name)
        answer = boss.client.get("/admin/coreason_budget/spendrecord/" + link.attributes["href"])

    assert answer.context["cl"].result_count == number
    assert "kind__exact=charge" in link.attributes["href"]
    chosen = [spec.title for spec in answer.context["cl"].filter_specs]
    assert chosen == ["day", "user, project, model", "kind", "ledger"]


def test_the_form_for_days_keeps_what_else_is_chosen(boss, days):
    page = boss.get("spendrecord_changelist", q="7", kind__exact="charge", **{"from": "2026-11-01"})

    form = page.root.one("form", "budget-days")
    kept_fields = {field.attributes["name"]: field.attributes["value"] for field in form.all("input", type="hidden")}
    assert kept_fields == {"q": "7", "kind__exact": "charge"}
    assert form.one("input", id="budget-from").attributes["value"] == "2026-11-01"
    assert {label.attributes["for"] for label in form.all("label")} == {"budget-from", "budget-until"}


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"kind__exact": "refund"}, {"r"}),
        ({"kind__exact": "charge"}, {"c", "u"}),
        ({"kind__exact": "expired"}, {"e"}),
        ({"uncounted": "1"}, {"u"}),
        ({"uncounted": "2"}, {"r", "c", "u", "e"}),
    ],
)
def test_records_are_filtered_by_kind_and_by_what_the_ledger_knows(boss, query, found):
    kept("r", kind="refund", cost_nanos=-1)
    kept("c")
    kept("u", journal_id=None)
    kept("e", kind="expired")

    assert set(ids(boss.get("spendrecord_changelist", **query))) == found


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"user": "ann"}, {"c1", "c2"}),
        ({"user": " bob ", "project": "apollo"}, {"c3", "refund:c3"}),
        ({"user": "ann", "project": "gemini"}, {"c2"}),
        ({"user": "nobody"}, set()),
        ({"user": "ann", "model": "gpt-4o"}, set()),
        ({"model": "gpt-4o"}, {"c5", "c6"}),
        ({"model": "gpt-4o", "project": "apollo"}, {"c5"}),
        ({"model": "gpt-4o", "q": "apollo", "kind__exact": "charge"}, {"c5"}),
        ({"model": "GPT-4o"}, set()),
        ({"project": "", "model": ""}, {"c1", "c2", "c3", "refund:c3", "c4", "c5", "c6"}),
    ],
)
def test_records_are_filtered_by_user_project_and_model_together(boss, records, query, found):
    kept("c5", model="gpt-4o", user_id="x", project_id="apollo")
    kept("c6", model="gpt-4o", user_id="x", project_id="gemini")

    page = boss.get("spendrecord_changelist", **query)

    assert (set(ids(page)) if found else page.response.context["cl"].result_count) == (found or 0)


def test_a_user_is_filtered_by_primary_key_too(boss, records):
    assert set(ids(boss.get("spendrecord_changelist", user=str(records["ann"].pk)))) == {"c1", "c2"}


def test_the_form_for_names_keeps_what_else_is_chosen_and_says_what_is_named(boss, records):
    page = boss.get(
        "spendrecord_changelist", q="c1", kind__exact="charge", user="<b>", model="m", **{"from": "2026-11-01"}
    )

    form = page.root.one("form", "budget-names")
    kept_fields = {field.attributes["name"]: field.attributes["value"] for field in form.all("input", type="hidden")}
    assert kept_fields == {"q": "c1", "kind__exact": "charge", "from": "2026-11-01"}
    named = {field.attributes["name"]: field.attributes["value"] for field in form.all("input", type="text")}
    assert named == {"user": "<b>", "project": "", "model": "m"}
    days = page.root.one("form", "budget-days").all("input", type="hidden")
    assert {field.attributes["name"] for field in days} == {"q", "kind__exact", "user", "model"}


def test_a_name_that_no_database_takes_is_told(boss, records):
    assert boss.client.get("/admin/coreason_budget/spendrecord/", {"model": "a\0b"}).status_code == 302


# plans


def plans(boss, **query):
    """Return the queries of a page to the records, each with the plan that SQLite makes for it."""
    with CaptureQueriesContext(
        connection,
    ) as captured:
        boss.get("spendrecord_changelist", **query)
    found = []
    for each in captured.captured_queries:
        if TABLE in each["sql"]:
            with connection.cursor() as cursor:
                cursor.execute("EXPLAIN QUERY PLAN " + each["sql"].replace("%", "%%"))
                found.append((each["sql"], [row[3] for row in cursor.fetchall()]))
    assert found
    return found


@pytest.fixture
def many(ann):
    """Return enough records, and statistics of them, for plans as large tables have them."""
    bob = User.objects.create_user("bob")
    SpendRecord.objects.bulk_create(
        SpendRecord(
            charge_id=f"c{number}",
            journal_id=number or None,
            user_id=str((ann.pk, bob.pk, "")[number % 3]),
            project_id=f"p{number % 5}",
            model=f"m{number % 7}",
            kind="refund" if number % 500 == 0 else "charge",
            cost_nanos=number,
            at=NOON - timedelta(minutes=number),
        )
        for number in range(3000)
    )
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


@pytest.mark.parametrize("query", [{}, {"p": "3"}])
def test_the_whole_list_is_read_along_the_primary_key_and_no_further_than_the_page(boss, many, query):
    for sql, plan in plans(boss, **query):
        scans = [step for step in plan if step.startswith("SCAN " + TABLE)]
        if scans:  # in the order of the table or of an index, and cut off
            assert re.search(r"LIMIT \d+", sql), sql
            assert not any("TEMP B-TREE" in step for step in plan), plan


@pytest.mark.parametrize(
    "query",
    [
        {"q": "c7"},
        {"q": "ann"},
        {"q": "p3"},
        {"q": "nothing of the kind"},
        {"from": "2026-11-22", "until": "2026-11-23"},
        {"q": "ann", "from": "2026-11-22"},
        {"uncounted": "1"},
        {"model": "m3"},
        {"model": "m3", "from": "2026-11-22"},
        {"user": "ann", "project": "p3", "model": "m3"},
    ],
)
def test_searches_and_filters_are_answered_by_indexes(boss, many, query):
    for sql, plan in plans(boss, **query):
        steps = [step for step in plan if TABLE in step]
        assert steps, plan
        assert all(step.startswith("SEARCH " + TABLE) and "USING" in step for step in steps), (sql, plan)


@pytest.mark.parametrize(
    "query", [{"q": "ann"}, {"q": "p3"}, {"from": "2026-11-22"}, {"uncounted": "1"}, {"model": "m3"}]
)
def test_a_page_is_not_sorted_from_all_that_was_found(boss, many, query):
    for sql, plan in plans(boss, **query):
        # The last term of the order is the primary key, within one instant.
        assert not any("TEMP B-TREE FOR ORDER BY" in step for step in plan), (sql, plan)
