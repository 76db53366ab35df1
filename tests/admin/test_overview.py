"""The overview: exact sums of what is asked for, a fixed number of questions, nothing for those who may not look."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from coreason_budget import service
from coreason_budget.models import GlobalLimit, ProjectLimit, SpendRecord, UserLimit
from coreason_budget.money import to_usd
from coreason_budget.periods import PERIODS, Period, window_at

from .conftest import booked

BERLIN = ZoneInfo("Europe/Berlin")

pytestmark = pytest.mark.usefixtures("ledger")


def kept(cost_nanos, at=None, **values):
    """Return a record as it is in the database, whoever wrote it."""
    number = SpendRecord.objects.count()
    defaults = {"charge_id": f"kept-{number}", "journal_id": 0, "user_id": "7", "at": at or timezone.now()}
    return SpendRecord.objects.create(cost_nanos=cost_nanos, **{**defaults, **values})


def amounts(element):
    """Return the exact amounts in an element, in order."""
    return [Decimal(each.attributes["value"]) for each in element.all("data", "budget-exact")]


def tile(page, title):
    (found,) = [each for each in page.root.all("article", "budget-tile") if each.one("h3").text == title]
    return found


def ranked(page, name):
    """Return the rows of a ranking: names and amounts."""
    table = page.root.one("section", "budget-ranking", aria_labelledby=f"budget-{name}")
    return {row.one("th").text: amounts(row)[0] for part in ("tbody", "tfoot") for row in table.one(part).all("tr")}


def charted(page, name):
    """Return the table behind a chart: its heads, its rows by their names, and the sums below."""
    table = page.root.one("figure", f"budget-chart-{name}").one("table")
    heads = [cell.text for cell in table.one("thead").all("th")]
    rows = {row.one("th").text: amounts(row) for row in table.one("tbody").all("tr")}
    return heads, rows, amounts(table.one("tfoot"))


def spent_by(column, records):
    sums: Counter[str] = Counter()
    for record in records:
        sums[getattr(record, column)] += record.cost_nanos
    return {name: to_usd(nanos) for name, nanos in sums.items()}


# what is spent -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "Pacific/Auckland"])
def test_the_tiles_are_the_sums_of_the_records_to_the_nano_dollar(boss, settings, zone):
    settings.COREASON_BUDGET = {**settings.COREASON_BUDGET, "TIME_ZONE": zone}
    windows = {period: window_at(period, timezone.now(), ZoneInfo(zone)) for period in PERIODS}
    for number, window in enumerate(windows.values()):
        for edge in (window.start, window.end):
            kept(10 ** (2 * number) + 7, edge)
            kept(3 * 10 ** (2 * number), edge - timedelta(microseconds=1))
    kept(-11)

    page = boss.get("overview")

    for title, window in zip(("Today", "This week", "This month"), windows.values(), strict=True):
        within = SpendRecord.objects.filter(at__gte=window.start, at__lt=window.end)
        assert amounts(tile(page, title)) == [within.total_usd()], title


def test_what_is_shown_is_what_the_records_of_the_days_make(boss, settings):
    settings.COREASON_BUDGET = {**settings.COREASON_BUDGET, "TIME_ZONE": "Europe/Berlin"}
    first, last = date(2026, 3, 27), date(2026, 3, 31)  # the clocks change in between
    midnights = [datetime(2026, 3, day, tzinfo=BERLIN).astimezone(UTC) for day in range(27, 32)]
    midnights.append(datetime(2026, 4, 1, tzinfo=BERLIN).astimezone(UTC))
    for number, midnight in enumerate(midnights):
        kept(10**number, midnight, model="a", project_id="apollo")
        kept(7 * 10**number, midnight - timedelta(microseconds=1), model="b", user_id="8")
    shown = SpendRecord.objects.filter(at__gte=midnights[0], at__lt=midnights[-1])

    page = boss.get("overview", **{"from": str(first), "until": str(last)})

    assert amounts(page.root.one("dl", "budget-summary"))[0] == shown.total_usd()
    for name, column, nothing in (
        ("users", "user_id", ""),
        ("projects", "project_id", "no project"),
        ("models", "model", ""),
    ):
        expected = {who or nothing: usd for who, usd in spent_by(column, shown).items()}
        assert ranked(page, name) == {**expected, "Sum": shown.total_usd()}
    heads, rows, total = charted(page, "by-day")
    assert heads == ["Day", "b", "a", "Sum"]
    for day, (start, end) in enumerate(pairwise(midnights)):
        of_day = shown.filter(at__gte=start, at__lt=end)
        names = [of_day.filter(model=name).total_usd() for name in ("b", "a")]
        assert rows[f"March {27 + day}, 2026"] == [*names, of_day.total_usd()]
    assert total == [shown.filter(model="b").total_usd(), shown.filter(model="a").total_usd(), shown.total_usd()]


def test_those_who_are_not_named_are_summed_up(boss):
    for number in range(12):
        kept(1_000_000_007 * (number + 1), user_id=f"u{number}", model=f"m{number:02}")

    page = boss.get("overview")

    users = ranked(page, "users")
    assert list(users) == [*(f"u{number}" for number in range(11, 1, -1)), "all others", "Sum"]
    assert users["all others"] == to_usd(3 * 1_000_000_007)
    assert users["Sum"] == sum(list(users.values())[:-1]) == SpendRecord.objects.all().total_usd()
    heads, _rows, total = charted(page, "by-day")
    assert heads == ["Day", *(f"m{number:02}" for number in range(11, 4, -1)), "all others", "Sum"]
    assert sum(total[:-1]) == total[-1] == users["Sum"]


def test_the_hours_of_today_are_exact(boss):
    today = window_at(Period.DAY, timezone.now(), ZoneInfo("UTC"))
    kept(5, today.start)
    kept(700_000_000, today.start + timedelta(hours=1, microseconds=-1))
    kept(90_000_000, today.end - timedelta(microseconds=1))
    kept(1, today.start - timedelta(microseconds=1))
    kept(1, today.end)

    heads, rows, total = charted(boss.get("overview"), "by-hour")

    assert heads == ["Hour", "Sum"]
    assert len(rows) == 24
    assert rows["00:00\N{EN DASH}01:00"] == [Decimal("0.700000005")]
    assert rows["23:00\N{EN DASH}00:00"] == [Decimal("0.09")]
    assert total == [Decimal("0.790000005")]


def test_a_person_a_project_and_a_model_are_found_by_their_exact_names(boss, ann):
    kept(1, user_id=str(ann.pk), project_id="apollo", model="gpt")
    kept(20, user_id=str(ann.pk), project_id="zeus", model="gpt")
    kept(300, user_id="ann", project_id="apollo", model="o3")
    kept(4000, user_id="anna", project_id="apollo-2", model="gpt-4")

    def spent(**asked):
        return amounts(boss.get("overview", **asked).root.one("dl", "budget-summary"))[0] * 10**9

    assert spent() == 4321
    assert spent(user="ann") == 321  # a name of a user, and an id
    assert spent(user=str(ann.pk)) == 21
    assert spent(project="apollo") == 301
    assert spent(model="gpt") == 21
    assert spent(user="ann", project="apollo", model="gpt") == 1
    assert spent(user="nobody") == 0


def test_the_links_of_a_page_lead_to_what_they_say(boss, ann):
    kept(1, user_id=str(ann.pk), project_id="a&b", model="gpt")
    page = boss.get("overview", project="a&b")

    link = page.root.one("section", "budget-ranking", aria_labelledby="budget-users").one("a").attributes["href"]
    assert f"user={ann.pk}&project=a%26b&by=model" in link
    page = boss.get("overview", user="ann", by="project")
    assert [each.text for each in page.root.all("a", aria_current="true")] == ["Past 30 days", "By project"]
    (records,) = [each for each in page.root.all("a") if each.text == "Show these records"]
    assert boss.client.get(records.attributes["href"]).context["cl"].result_count == 1


def test_a_chart_is_stacked_by_model_or_by_project(boss):
    kept(3, project_id="apollo", model="gpt")

    assert charted(boss.get("overview"), "by-day")[0] == ["Day", "Sum"]
    kept(2, project_id="zeus", model="o3")
    assert charted(boss.get("overview"), "by-day")[0] == ["Day", "gpt", "o3", "Sum"]
    assert charted(boss.get("overview", by="project"), "by-day")[0] == ["Day", "apollo", "zeus", "Sum"]


@pytest.mark.parametrize(
    ("asked", "error"),
    [
        ({"from": "2026-02-30"}, "Enter a valid date."),
        ({"from": "1900-01-01"}, "Ensure this value is greater than or equal to 2000-01-01."),
        ({"until": "9999-12-31"}, "Ensure this value is less than or equal to 2199-12-31."),
        ({"from": "2026-11-20", "until": "2026-11-02"}, "The last day is before the first."),
        ({"from": "2010-01-01", "until": "2026-01-01"}, "At most 1830 days are shown at a time."),
        ({"user": "x" * 201}, "Ensure this value has at most 200 characters (it has 201)."),
        ({"project": "nul\0"}, "Null characters are not allowed."),
    ],
)
def test_what_makes_no_sense_is_said_and_shows_no_figures(boss, asked, error):
    kept(987_654_321)

    page = boss.get("overview", **asked)

    assert page.errors == [error]
    assert "987" not in page.html


# how things stand ----------------------------------------------------------------------------------------------------


def test_the_site_is_shown_against_its_limits_with_what_is_held(boss, ann):
    GlobalLimit.objects.create(period="day", amount_usd=4)
    GlobalLimit.objects.create(period="month", amount_usd=None)
    service.charge(ann.pk, "1.123456789")
    service.reserve(ann.pk, "apollo", amount="0.5")

    page = boss.get("overview")

    today = tile(page, "Today")
    assert amounts(today) == [Decimal("1.123456789")]
    meter = today.one("svg", "budget-meter")
    assert meter.attributes["aria-valuetext"] == "$1.123456789 spent, $0.50 held"
    assert (meter.attributes["aria-valuenow"], meter.attributes["aria-valuemax"]) == ("1.623456789", "4")
    assert "of $4.00" in today.text
    assert "$2.37 left" in today.text
    assert "No limit" in tile(page, "This week").text
    assert "No limit" in tile(page, "This month").text
    held = page.root.one("section", aria_labelledby="budget-holds")
    assert amounts(held) == [Decimal("0.5")]
    assert [cell.text for cell in held.one("tbody").all("td")][:3] == ["apollo", "$0.50", "0:00 min"]


def test_what_the_ledger_and_the_records_do_not_agree_on_is_said(boss, ann):
    GlobalLimit.objects.create(period="day", amount_usd=4)
    record = booked(user_id=ann.pk, cost="1.5")

    assert not list(boss.get("overview").root.all("p", "budget-apart"))
    record.delete()
    assert boss.get("overview").root.one("p", "budget-apart").text == "$1.50 more is on its way to the records."
    kept(2_000_000_000)
    assert boss.get("overview").root.one("p", "budget-apart").text == "The ledger has $0.50 of this still to count."


def test_each_user_and_project_is_shown_with_the_limit_that_stops_it_first(boss, ann):
    bert = User.objects.create_user("bert")
    UserLimit.objects.create(user=ann, period="day", amount_usd=2)
    UserLimit.objects.create(user=ann, period="month", amount_usd=1)
    UserLimit.objects.create(user=bert, period="day", amount_usd=0)
    ProjectLimit.objects.create(project_id="apollo", period="week", amount_usd="0.5")
    service.charge(ann.pk, "0.5", "apollo", "gpt")
    service.charge(bert.pk, "0.25")

    page = boss.get("overview")

    rows = [row.text for row in page.root.one("section", aria_labelledby="budget-users").one("tbody").all("tr")]
    assert rows == ["ann $0.50 66.7 % 1 $0.50 of $1.00 per month", "bert $0.25 33.3 % 1 $0.25 per day Blocked"]
    [apollo, none] = page.root.one("section", aria_labelledby="budget-projects").one("tbody").all("tr")
    assert apollo.one("span", "budget-usage").attributes["data-budget-state"] == "over"
    assert apollo.text.endswith("$0.50 of $0.50 per week")
    assert none.text == "no project $0.25 33.3 % 1 \N{EN DASH}"


def test_who_has_no_limit_is_said_to_have_none(boss, ann):
    UserLimit.objects.create(user=ann, period="day", amount_usd=None)
    service.charge(ann.pk, "0.5")

    [row] = boss.get("overview").root.one("section", aria_labelledby="budget-users").one("tbody").all("tr")

    assert row.text == "ann $0.50 100.0 % 1 $0.50 per day No limit"


def test_the_findings_of_the_doctor_are_shown(boss):
    page = boss.get("overview")

    rows = page.root.one("section", aria_labelledby="budget-health").one("tbody").all("tr")
    found = {row.one("th").text: row.text for row in rows}
    assert "Redis answers in " in found["redis"]
    assert found["uncounted"] == "ok uncounted Redis knows of every record."
    assert "Scripts see no run id" in found["run_id"]
    assert page.root.one("details", id="budget-findings").one("summary").text == "1 finding wants a look"


@pytest.mark.usefixtures("redis_down")
def test_without_redis_the_records_are_shown_and_the_rest_is_unknown(boss):
    kept(1_500_000_000, user_id="7")

    page = boss.get("overview")

    assert amounts(tile(page, "Today")) == [Decimal("1.5")]
    assert page.root.one("p", "budget-problem").text.startswith("What is held and left is unknown at the moment")
    assert not list(page.root.all("svg", "budget-meter"))
    assert page.root.one("section", aria_labelledby="budget-holds").one("p").text == "unknown"
    assert "error" in page.root.one("section", aria_labelledby="budget-health").text


def test_nothing_spent_is_said_instead_of_drawn(boss):
    page = boss.get("overview")

    assert [each.text for each in page.root.all("p", "budget-empty")] == ["Nothing was spent."] * 5 + [
        "No money is held."
    ]
    assert amounts(tile(page, "Today")) == [0]


# who may look, and what it costs -------------------------------------------------------------------------------------


def test_without_the_permission_there_is_neither_page_nor_link_nor_figure(staff, ann):
    kept(987_654_321)
    nobody = staff("view_userlimit", "view_modelprice")

    answer = nobody.client.get(reverse("admin:coreason_budget_overview"))
    assert answer.status_code == 403
    assert "987" not in answer.content.decode()
    assert "verview" not in nobody.client.get("/admin/coreason_budget/").content.decode()

    visitor = Client()
    visitor.force_login(ann)
    assert visitor.get(reverse("admin:coreason_budget_overview")).headers["Location"].startswith("/admin/login/")


def test_the_index_of_the_app_leads_to_it(staff):
    viewer = staff("view_spendrecord")

    assert reverse("admin:coreason_budget_overview") in viewer.client.get("/admin/coreason_budget/").content.decode()
    assert reverse("admin:coreason_budget_overview") in viewer.get("spendrecord_changelist").html
    assert viewer.get("overview").root.one("h1").text == "Overview of spend"


def test_what_it_asks_for_does_not_grow_with_what_there_is(boss, asked):
    def questions():
        asked.clear()
        with CaptureQueriesContext(connection) as queries:
            boss.get("overview")
        of_records = [query for query in queries if '"coreason_budget_spendrecord"' in query["sql"]]
        return len(queries), len(of_records), len(asked)

    users = [User.objects.create_user(f"user {number}") for number in range(20)]
    for number in range(2):
        kept(1 + number, user_id=str(users[number].pk), project_id=f"p{number}", model=f"m{number}")
    questions()  # which makes the server learn its scripts
    few = questions()
    for number, user in enumerate(users):
        for day in range(25):
            at = timezone.now() - timedelta(days=day)
            kept(1 + number, at, user_id=str(user.pk), project_id=f"p{number}", model=f"m{number}")

    assert questions() == few
    # Of records: three rankings, the site, two charts, the uncounted, the last one drained, the accounts of three
    # scopes, and what was reset of them and of the site.
    assert few[1:] == (13, 10)


def test_a_name_of_a_user_is_looked_up_once(boss, ann):
    with CaptureQueriesContext(connection) as queries:
        boss.get("overview", user="ann@example.org")

    assert len([query for query in queries if "ann@example.org" in query["sql"] and "auth_user" in query["sql"]]) == 1
