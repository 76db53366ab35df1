"""``manage.py budget_report``: exact sums in each of its formats, whatever the names are."""

from __future__ import annotations

import csv
import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from io import StringIO
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from django.contrib.auth.models import User
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.test.utils import CaptureQueriesContext
from freezegun import freeze_time

from coreason_budget.history import History
from coreason_budget.ledger.journal import Journal
from coreason_budget.management import report as reports
from coreason_budget.models import SpendRecord
from coreason_budget.testing import isolated_budgets_fixture  # noqa: F401

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import Settings

    from coreason_budget.ledger.steps import Operation

NOON = datetime(2026, 11, 18, 12, tzinfo=UTC)  # a Wednesday
OCTOBER = ("--from", "2026-10-01", "--to", "2026-10-31")

pytestmark = [pytest.mark.django_db, pytest.mark.usefixtures("isolated_budgets")]


@pytest.fixture(autouse=True)
def november() -> Iterator[None]:
    with freeze_time(NOON, ignore=["redis", "fakeredis"]):
        yield


def kept(cost_nanos: int, at: datetime = NOON, **values: Any) -> None:
    number = SpendRecord.objects.count()
    defaults = {"charge_id": f"kept-{number}", "journal_id": 0, "user_id": "7", "at": at}
    SpendRecord.objects.create(cost_nanos=cost_nanos, **{**defaults, **values})


def report(*arguments: str) -> str:
    out, err = StringIO(), StringIO()
    call_command("budget_report", *arguments, stdout=out, stderr=err)
    assert err.getvalue() == ""
    return out.getvalue()


def rows(*arguments: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(report(*arguments, "--format", "csv"))))


def test_a_table_has_the_greatest_first_and_the_sum_last() -> None:
    ann = User.objects.create_user("ann")
    kept(1_000_000_001, user_id=str(ann.pk), model="gpt-4o", input_tokens=10, output_tokens=2)
    kept(500_000_000, user_id=str(ann.pk), model="o3")
    kept(2_000_000_000, user_id="", model="gpt-4o", input_tokens=5)
    kept(-250_000_000, user_id="", model="gpt-4o", kind="refund")

    assert report("--by", "user,model").splitlines() == [
        "USER       MODEL          COST  RECORDS  INPUT TOKENS  OUTPUT TOKENS",
        "anonymous  gpt-4o         1.75        2             5              0",
        f"{'ann':9}  gpt-4o  1.000000001        1            10              2",
        f"{'ann':9}  o3              0.5        1             0              0",
        "TOTAL              3.250000001        4            15              2",
    ]


def test_what_is_in_a_file_is_exact_and_complete() -> None:
    ann = User.objects.create_user("ann")
    kept(1, user_id=str(ann.pk), project_id="apollo", model="gpt")
    kept(9_007_199_254_740_993, user_id="gone", project_id="apollo", model="gpt", input_tokens=3)  # no float has it

    assert rows("--by", "project,user") == [
        {
            "project": "apollo",
            "user_id": user_id,
            "user": user,
            "cost_usd": cost,
            "records": "1",
            "input_tokens": tokens,
            "output_tokens": "0",
        }
        for user_id, user, cost, tokens in (
            ("gone", "", "9007199.254740993", "3"),
            (str(ann.pk), "ann", "0.000000001", "0"),
        )
    ]
    assert json.loads(report("--by", "model", "--format", "json")) == [
        {"model": "gpt", "cost_usd": "9007199.254740994", "records": 2, "input_tokens": 3, "output_tokens": 0}
    ]


@pytest.mark.parametrize("zone", ["UTC", "Europe/Berlin", "America/St_Johns"])
@pytest.mark.parametrize("period", ["day", "week", "month"])
def test_the_days_are_those_of_the_budgets_calendar(settings: Settings, zone: str, period: str) -> None:
    settings.COREASON_BUDGET = {**settings.COREASON_BUDGET, "TIME_ZONE": zone}
    here = ZoneInfo(zone)
    midnights = [datetime(2026, 10, day, tzinfo=here) for day in (1, 5, 25, 26)]  # clocks change on the 25th
    midnights.append(datetime(2026, 11, 1, tzinfo=here))
    for number, midnight in enumerate(midnights):
        kept(10 ** (2 * number), midnight)
        kept(7 * 10 ** (2 * number), midnight.astimezone(UTC) - timedelta(microseconds=1))

    expected: dict[str, int] = {}
    for record in SpendRecord.objects.filter(at__gte=midnights[0], at__lt=midnights[-1]):
        day = record.at.astimezone(here).date()
        first = {"day": day, "week": day - timedelta(days=day.weekday()), "month": day.replace(day=1)}[period]
        expected[first.isoformat()] = expected.get(first.isoformat(), 0) + record.cost_nanos

    found = rows("--by", period, *OCTOBER)
    assert [row[period] for row in found] == sorted(expected)
    assert {row[period]: Decimal(row["cost_usd"]) * 10**9 for row in found} == expected


def test_without_days_it_is_this_month_to_this_day() -> None:
    kept(1, datetime(2026, 10, 31, 23, 59, 59, tzinfo=UTC))
    kept(20, datetime(2026, 11, 1, tzinfo=UTC))
    kept(300, datetime(2026, 11, 18, 23, 59, 59, tzinfo=UTC))
    kept(4000, datetime(2026, 11, 19, tzinfo=UTC))

    assert [row["cost_usd"] for row in rows()] == ["0.00000032"]
    assert [row["cost_usd"] for row in rows("--from", "2026-10-31", "--to", "2026-11-19")] == ["0.000004321"]


def test_names_do_nothing_in_a_spreadsheet_or_a_terminal() -> None:
    name = "evil\n\N{RIGHT-TO-LEFT OVERRIDE}name"
    user = User.objects.create(username=name)
    kept(-5, user_id=str(user.pk), project_id="=cmd|' /C calc'!A0", model="\uff1d1+1")

    [row] = rows("--by", "user,project,model")
    assert (row["project"], row["model"]) == ("'=cmd|' /C calc'!A0", "'\uff1d1+1")
    assert (row["user"], row["cost_usd"]) == (name, "-0.000000005")
    assert json.loads(report("--by", "project", "--format", "json"))[0]["project"] == "=cmd|' /C calc'!A0"
    assert report("--by", "user").splitlines()[1].startswith("evil??name ")
    kept(1, project_id="p" * 200)
    assert f"{'p' * 59}\N{HORIZONTAL ELLIPSIS} " in report("--by", "project")


def test_nothing_spent_is_a_report_too() -> None:
    assert report() == "Nothing was spent from 2026-11-01 to 2026-11-18.\n"
    assert report("--format", "csv") == "user_id,user,cost_usd,records,input_tokens,output_tokens\r\n"
    assert json.loads(report("--by", "day", "--format", "json")) == []


def test_it_is_read_piece_by_piece(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reports, "_READ_AT_ONCE", 2)
    for number in range(5):
        kept(number + 1, user_id=str(User.objects.create_user(f"user {number}").pk))

    with CaptureQueriesContext(connection) as queries:
        found = rows()

    assert [row["user"] for row in found] == [f"user {number}" for number in (4, 3, 2, 1, 0)]
    assert len([query for query in queries if '"auth_user"' in query["sql"]]) == 3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--by", "user,colour"), "'colour' is none of user, project, model, kind, day, week, month"),
        (("--by", "user,user"), "'user,user' names something twice"),
        (("--by", "day,week"), "'day,week' names more than one of day, week, month"),
        (("--from", "yesterday"), "'yesterday' is no day such as 2026-11-30"),
        (("--to", "9999-12-31"), "'9999-12-31' is not between 2000-01-01 and 2199-12-31"),
        (("--from", "2026-11-02", "--to", "2026-11-01"), "--from 2026-11-02 is after --to 2026-11-01."),
    ],
)
def test_an_option_that_makes_no_sense_is_named(arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(CommandError, match=message):
        report(*arguments)


def test_a_database_that_does_not_answer_has_an_exit_code_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise OperationalError("nobody listens")

    monkeypatch.setattr(History, "sums_by", refused)
    with pytest.raises(CommandError, match="The database cannot be read: nobody listens") as raised:
        report()
    assert raised.value.returncode == 2


def test_what_the_report_lacks_is_said_beside_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def backlog(_: Journal) -> Operation[tuple[int, float]]:
        yield from ()
        return 2, 5.0

    monkeypatch.setattr(Journal, "backlog", backlog)
    out, err = StringIO(), StringIO()
    call_command("budget_report", stdout=out, stderr=err)

    assert (
        err.getvalue() == "2 charges wait in the journal, not in this report: run manage.py budget_drain before it.\n"
    )


def test_without_redis_there_is_a_report_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object) -> None:
        raise ConnectionRefusedError("nobody listens")

    kept(1_000_000_000)
    monkeypatch.setattr("coreason_budget.ledger.connection.Connections.execute", refused)
    out, err = StringIO(), StringIO()
    call_command("budget_report", stdout=out, stderr=err)

    assert out.getvalue().splitlines()[-1].startswith("TOTAL")
    assert "is unknown: Redis cannot be used" in err.getvalue()
