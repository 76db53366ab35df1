"""Limits from CSV files: shown before they are saved, every mistake by its line, all or none."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.db.models.signals import post_save, pre_save
from django.urls import reverse
from django.utils import timezone

from coreason_budget import BudgetExceededError, service
from coreason_budget.admin import limit_file, limit_transfer
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit

from .limit_files import HEAD, confirm, looked_at, upload
from .pages import Page

pytestmark = pytest.mark.usefixtures("ledger")


def problems(page):
    table = page.root.one("div", "budget-foreseen")
    return [[cell.text for cell in row.children if not isinstance(cell, str)] for row in table.one("tbody").all("tr")]


def rows():
    limits = UserLimit.objects.order_by("user__username", "period")
    return [(limit.user.username, limit.period, limit.amount_usd, limit.reason) for limit in limits]


@pytest.fixture
def people(ann):
    return [ann, User.objects.create_user("bob")]


def test_a_file_is_shown_first_and_changes_nothing(boss, ann, people):
    UserLimit.objects.create(user=ann, amount_usd=5, reason="pilot")

    page = looked_at(boss, HEAD + "user,ann,day,20,,,launch\nuser,bob,month,unlimited,,,\nuser,bob,day,0,,,\n")

    assert page.foreseen == [
        ["2", "ann", "per day", "$5.00", "$20.00", "launch"],
        ["3", "bob", "per month", "none", "unlimited", ""],
        ["4", "bob", "per day", "none", "blocked", ""],
    ]
    assert rows() == [("ann", "day", 5, "pilot")]
    assert not LogEntry.objects.exists()
    assert page.inline_code == []


def test_confirmed_it_is_saved_told_and_obeyed_by_the_next_call(boss, ann, people):
    UserLimit.objects.create(user=ann, amount_usd=5, reason="pilot")
    service.check(ann.pk)
    page = looked_at(boss, HEAD + "user,ann,day,0,,,launch\nuser,bob,month,unlimited,,,\n")

    done = confirm(boss, page)

    assert done.messages == ["2 limits were changed. They hold from the next call on."]
    assert rows() == [("ann", "day", 0, "launch"), ("bob", "month", None, "")]
    with pytest.raises(BudgetExceededError):
        service.check(ann.pk)
    assert [
        (entry.user.username, entry.action_flag, entry.object_repr, entry.get_change_message())
        for entry in LogEntry.objects.order_by("pk")
    ] == [
        ("boss", CHANGE, "user ann: 0 USD / day", "Import, line 2: $5.00 → blocked."),
        ("boss", ADDITION, "user bob: unlimited / month", "Import, line 3: none → unlimited."),
    ]


@pytest.mark.parametrize(
    ("row", "column", "value", "said"),
    [
        ("user,eve,day,1,,,", "user", "eve", "There is no user named “eve”. Correct the name, or add the user first."),
        ("user,,day,1,,,", "user", "", "Enter the name of a user."),
        (
            "project,ann,day,1,,,",
            "scope",
            "project",
            "“project” does not belong here: this is the list of limits of the scope “user”.",
        ),
        ("user,ann,hour,1,,,", "period", "hour", "“hour” is no period. Write day, week or month."),
        ("user,ann,day,,,,", "amount_usd", "", "Enter an amount, 0 to block every call, or the word unlimited."),
        ("user,ann,day,-1,,,", "amount_usd", "-1", "“-1” is negative. An amount is 0 or more."),
        (
            'user,ann,day,"1,5",,,',
            "amount_usd",
            "1,5",
            "“1,5” is not an amount. Write it with digits and a point, such as 0.05.",
        ),
        ("user,ann,day,1e99,,,", "amount_usd", "1e99", "“1e99” is too much. An amount is at most $1,000,000,000.00."),
        (
            "user,ann,day,NaN,,,",
            "amount_usd",
            "NaN",
            "“NaN” is not an amount. Write it with digits and a point, such as 0.05.",
        ),
        ("user,ann,day,1,5,,", "boost_until", "", "A boost needs both an amount and an end."),
        (
            "user,ann,day,1,5,2090-01-01,",
            "boost_until",
            "2090-01-01",
            "“2090-01-01” is no instant with a time zone. Write it like 2026-12-24T18:00:00Z.",
        ),
        (
            "user,ann,day,1,5,2090-13-01T00:00:00Z,",
            "boost_until",
            "2090-13-01T00:00:00Z",
            "“2090-13-01T00:00:00Z” is no instant with a time zone. Write it like 2026-12-24T18:00:00Z.",
        ),
        (
            "user,ann,day,1,5,2020-01-01T00:00:00Z,",
            "boost_until",
            "2020-01-01T00:00:00Z",
            "2020-01-01 00:00 UTC has passed. A boost must end later than now.",
        ),
        (
            "user,ann,day,1,,," + "x" * 501,
            "reason",
            "x" * 80 + "…",
            "Ensure this value has at most 500 characters (it has 501).",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line_its_value_and_what_to_do(boss, people, settings, row, column, value, said):
    settings.TIME_ZONE = "UTC"

    page = looked_at(boss, f"{HEAD}user,bob,day,1,,,\n{row}\n")

    assert problems(page) == [["3", column, value, said]]
    assert not list(page.root.all("input", name="packed"))
    assert not UserLimit.objects.exists()


def test_every_mistake_of_every_row_is_told(boss, people):
    page = looked_at(boss, HEAD + 'user,eve,hour,x,,,\n"","ann",day,1,,,"two\nlines"\nuser,mallory,day,,,,\n')

    assert [problem[:3] for problem in problems(page)] == [
        ["2", "user", "eve"],
        ["2", "period", "hour"],
        ["2", "amount_usd", "x"],
        ["5", "user", "mallory"],
        ["5", "amount_usd", ""],
    ]


def test_a_limit_is_in_a_file_once(boss, people):
    page = looked_at(boss, HEAD + "user,ann,day,1,,,\nuser,bob,day,1,,,\nuser,ann,DAY,2,,,\n")

    assert problems(page) == [["4", "period", "DAY", "Line 2 has this limit already. Keep one of them."]]


COLUMNS = "The columns are: scope, user, period, amount_usd, boost_usd, boost_until, reason."


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "user,period,amount_usd,colour\n",
            f"There is no column “colour”. {COLUMNS}",
        ),
        (
            "user,period\nann,day\n",
            f"The column “amount_usd” is missing. {COLUMNS}",
        ),
        ("user,user,period,amount_usd\n", "The column “user” is there twice."),
        (
            "user,period,amount_usd\nann,day,1,5\n",
            "Line 2 has 4 cells instead of 3. A text with a comma needs quotation marks.",
        ),
        ("user,period,amount_usd\n", "The file has no limits."),
        ('user,period,amount_usd\n"ann,day,1\n', "Line 2 is no CSV: unexpected end of data."),
        ("user,period,amount_usd\nj\xf6rg,day,1\n".encode("latin-1"), "The file is not UTF-8. Save it as “CSV UTF-8”."),
        (b"\xff\xfe\x00", "The file is not UTF-8. Save it as “CSV UTF-8”."),
        (b"x" * 1_500_001, "The file has more than 1,500,000 bytes. Split it."),
        ("", "The file is empty."),
    ],
)
def test_what_is_no_table_of_limits_is_refused(boss, people, text, said):
    assert looked_at(boss, text).errors == [said]


def test_more_rows_than_can_be_taken_at_once_are_refused(boss, people, monkeypatch):
    monkeypatch.setattr(limit_file, "MAX_ROWS", 2)

    page = looked_at(boss, "user,period,amount_usd\nann,day,1\nann,week,1\nann,month,1\n")

    assert page.errors == ["The file has more than 2 limits. Split it."]


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_files_of_spreadsheets_are_understood(boss, people, delimiter):
    text = "\ufeffUser,Period,Amount_USD\r\nann,Day,7.5\r\n\r\n".replace(",", delimiter)

    confirm(boss, looked_at(boss, text))

    assert rows() == [("ann", "day", Decimal("7.5"), "")]


def test_columns_that_are_left_out_leave_what_is_there(boss, ann):
    later = timezone.now() + timedelta(days=3)
    UserLimit.objects.create(user=ann, amount_usd=5, boost_usd=9, boost_until=later, reason="pilot")

    confirm(boss, looked_at(boss, "user,period,amount_usd\nann,day,6\n"))

    limit = UserLimit.objects.get()
    assert (limit.amount_usd, limit.boost_usd, limit.boost_until, limit.reason) == (6, 9, later, "pilot")


def test_an_empty_boost_ends_it(boss, ann):
    later = timezone.now() + timedelta(days=3)
    UserLimit.objects.create(user=ann, amount_usd=5, boost_usd=9, boost_until=later)

    confirm(boss, looked_at(boss, "user,period,amount_usd,boost_usd,boost_until\nann,day,5,,\n"))

    assert UserLimit.objects.get().boost_usd is None


def test_a_file_that_changes_nothing_says_so(boss, ann):
    UserLimit.objects.create(user=ann, amount_usd="5.5", boost_usd=9, boost_until=datetime(2020, 1, 1, tzinfo=UTC))
    exported = boss.client.get(reverse("admin:coreason_budget_userlimit_export")).content

    page = looked_at(boss, exported)

    assert "All limits of the file are as it says already." in page.root.text
    assert page.errors == []


def test_limits_that_somebody_changed_meanwhile_are_shown_again(boss, ann):
    limit = UserLimit.objects.create(user=ann, amount_usd=5)
    page = looked_at(boss, "user,period,amount_usd\nann,day,6\n")
    UserLimit.objects.update(amount_usd=50)

    page = confirm(boss, page)

    assert page.messages == ["Limits were changed meanwhile. Nothing was saved; look at it again."]
    assert page.foreseen == [["2", "ann", "per day", "$50.00", "$6.00", ""]]
    limit.refresh_from_db()
    assert limit.amount_usd == 50
    confirm(boss, page)
    limit.refresh_from_db()
    assert limit.amount_usd == 6


def test_sent_twice_it_is_done_once(boss, people):
    page = looked_at(boss, "user,period,amount_usd\nann,day,6\n")

    confirm(boss, page)
    again = confirm(boss, page)

    assert again.messages == ["Limits were changed meanwhile. Nothing was saved; look at it again."]
    assert LogEntry.objects.count() == 1


def test_what_was_shown_of_one_kind_of_limits_is_not_taken_for_another(boss):
    page = looked_at(boss, "period,amount_usd\nday,6\n", "globallimit")

    done = confirm(boss, page, "projectlimit")

    assert done.messages == ["That page can no longer be confirmed. Choose the file again."]
    assert not GlobalLimit.objects.exists()


@pytest.mark.parametrize("sent", ["", "x", "W10:abc"])
def test_what_was_tampered_with_is_not_taken(boss, sent):
    page = Page(boss.post("userlimit_import", packed=sent))

    assert page.messages == ["That page can no longer be confirmed. Choose the file again."]


def test_the_limits_are_saved_all_or_none(boss, people):
    def fail(instance, **_):
        if instance.user.username == "bob":
            raise RuntimeError("the disk is full")

    page = looked_at(boss, "user,period,amount_usd\nann,day,6\nbob,day,6\n")
    post_save.connect(fail, sender=UserLimit)
    try:
        with pytest.raises(Exception, match="the disk is full"):
            confirm(boss, page)
    finally:
        post_save.disconnect(fail, sender=UserLimit)

    assert rows() == []
    assert not LogEntry.objects.exists()


def test_a_limit_that_somebody_adds_at_the_same_instant_is_not_overwritten(boss, people):
    def overtake(instance, **_):
        raise IntegrityError("UNIQUE constraint failed")

    page = looked_at(boss, "user,period,amount_usd\nann,day,6\n")
    pre_save.connect(overtake, sender=UserLimit)
    try:
        page = confirm(boss, page)
    finally:
        pre_save.disconnect(overtake, sender=UserLimit)

    assert page.messages == ["Limits were changed meanwhile. Nothing was saved; look at it again."]
    assert not LogEntry.objects.exists()


def test_projects_and_the_site_have_files_of_their_own(boss):
    confirm(boss, looked_at(boss, "project,period,amount_usd\napollo,day,6\n", "projectlimit"), "projectlimit")
    confirm(boss, looked_at(boss, "period,amount_usd\nday,60\nmonth,unlimited\n", "globallimit"), "globallimit")

    assert list(ProjectLimit.objects.values_list("project_id", "amount_usd")) == [("apollo", 6)]
    assert list(GlobalLimit.objects.order_by("period").values_list("period", "amount_usd")) == [
        ("day", 60),
        ("month", None),
    ]


@pytest.mark.parametrize("name", ["", " ", "x" * 201, "a\x00b"])
def test_project_ids_that_the_ledger_would_refuse_are_refused(boss, name):
    page = looked_at(boss, f'project,period,amount_usd\n"{name}",day,6\n', "projectlimit")

    assert problems(page)[0][1] == "project"
    assert not ProjectLimit.objects.exists()


# who may


@pytest.mark.parametrize(
    ("permissions", "export", "take", "links"),
    [
        ([], 403, 403, None),
        (["view_userlimit"], 200, 403, ["Export as CSV"]),
        (["view_userlimit", "add_userlimit"], 200, 403, ["Export as CSV", "Add user limit"]),
        (["change_userlimit"], 200, 403, ["Export as CSV"]),
        (["add_userlimit", "change_userlimit"], 200, 200, ["Export as CSV", "Import CSV", "Add user limit"]),
    ],
)
def test_it_needs_permissions_to_add_and_to_change(staff, people, permissions, export, take, links):
    somebody = staff(*permissions)

    assert somebody.client.get(reverse("admin:coreason_budget_userlimit_export")).status_code == export
    assert somebody.client.get(reverse("admin:coreason_budget_userlimit_import")).status_code == take
    assert upload(somebody, "user,period,amount_usd\nann,day,6\n").status_code == take
    if links is not None:
        tools = somebody.get("userlimit_changelist").root.one("ul", "object-tools")
        assert [link.text for link in tools.all("a")] == links


def test_without_the_extra_there_are_no_buttons(boss, monkeypatch):
    monkeypatch.setattr(limit_transfer, "is_installed", lambda: False)

    tools = boss.get("userlimit_changelist").root.one("ul", "object-tools")

    assert [link.text for link in tools.all("a")] == ["Add user limit"]


def test_looking_at_a_file_costs_the_same_for_any_number_of_rows(boss, django_assert_num_queries):
    names = [User.objects.create_user(f"user{number}").username for number in range(40)]
    boss.client.get("/admin/")

    for count in (1, 40):
        text = "user,period,amount_usd\n" + "".join(f"{name},day,1\n" for name in names[:count])
        # Session, user, the users of the file, their limits; the others are savepoints of django-import-export.
        with django_assert_num_queries(13):
            upload(boss, text)


@pytest.mark.slow
@pytest.mark.once
def test_ten_thousand_rows_are_looked_at_and_saved(boss):
    text = "project,period,amount_usd,reason\n" + "".join(f"project-{n},day,{n}.5,some reason\n" for n in range(10_000))

    page = looked_at(boss, text, "projectlimit")
    assert page.root.one("p", "budget-more").text == "and 9,500 more"
    confirm(boss, page, "projectlimit")

    assert ProjectLimit.objects.count() == LogEntry.objects.count() == 10_000
