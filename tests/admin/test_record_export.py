"""Records as CSV: exact, harmless in a spreadsheet, and streamed."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from asgiref.sync import async_to_sync
from django.contrib.auth.models import User
from django.test import AsyncClient
from hypothesis import given
from hypothesis import strategies as st

from coreason_budget.admin import record_export
from coreason_budget.admin.record_export import COLUMNS
from coreason_budget.management.spreadsheet import harmless
from coreason_budget.models import SpendRecord

from .test_records import kept

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("ledger")


def read(body: bytes) -> list[dict[str, str]]:
    assert body.startswith(b"\xef\xbb\xbf")
    return list(csv.DictReader(io.StringIO(body.decode("utf-8-sig"), newline="")))


def export(staff, objects=(), query="", **data):
    chosen = [str(each.pk) for each in objects] or ["all"]
    return staff.post(
        "spendrecord_changelist", query=query, action="export_csv", index="0", _selected_action=chosen, **data
    )


def export_all(staff, query=""):
    return read(export(staff, query=query, select_across="1").getvalue())


def test_a_record_is_written_exactly(boss, ann):
    kept(
        "c1",
        user_id=str(ann.pk),
        project_id="apollo",
        model="gpt-4o",
        hold_id="h1",
        cost_nanos=12_345_678_901_234_567,
        input_tokens=1_234_567,
        at=NOON + timedelta(microseconds=7),
        metadata={"note": 'Zürich, "quoted"'},
    )

    answer = export(boss, SpendRecord.objects.all())

    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"].startswith('attachment; filename="spend-records-20')
    assert read(answer.getvalue()) == [
        {
            "booked_at": "2026-11-23T12:00:00.000007Z",
            "kind": "charge",
            "charge_id": "c1",
            "refund_of": "",
            "user_id": str(ann.pk),
            "user": "ann",
            "project_id": "apollo",
            "model": "gpt-4o",
            "cost_usd": "12345678.901234567",
            "input_tokens": "1234567",
            "output_tokens": "",
            "hold_id": "h1",
            "counted": "yes",
            "metadata": '{"note": "Zürich, \\"quoted\\""}',
        }
    ]


@pytest.mark.parametrize("zone", ["UTC", "Asia/Tokyo"])
def test_times_are_in_utc_and_numbers_have_points_in_every_language_and_zone(boss, settings, zone):
    settings.TIME_ZONE, settings.LANGUAGE_CODE, settings.USE_THOUSAND_SEPARATOR = zone, "de", True
    kept("c1", cost_nanos=-1_234_500_000_001, input_tokens=1_234_567, journal_id=None, kind="refund")

    row = export_all(boss)[0]

    assert (row["booked_at"], row["cost_usd"], row["input_tokens"]) == (
        "2026-11-23T12:00:00Z",
        "-1234.500000001",
        "1234567",
    )
    assert (row["kind"], row["counted"]) == ("refund", "no")
    assert tuple(row) == COLUMNS


def test_the_selection_is_exported_or_the_whole_filtered_list(boss, ann):
    records = [kept(f"c{number}", at=NOON - timedelta(days=number)) for number in range(150)]
    kept("other", user_id=str(ann.pk))

    chosen = read(export(boss, records[3:5]).getvalue())
    found = export_all(boss, "?q=7")
    week = export_all(boss, "?q=7&from=2026-11-20")

    assert [row["charge_id"] for row in chosen] == ["c3", "c4"]
    assert [row["charge_id"] for row in found] == [f"c{number}" for number in range(150)]
    assert [row["charge_id"] for row in week] == ["c0", "c1", "c2", "c3"]


def test_the_list_has_a_button_that_exports_all(boss):
    kept("c1")
    page = boss.get("spendrecord_changelist", q="7")
    form = page.root.one("form", "budget-tool")
    assert form.attributes["method"] == "post"
    fields = {field.attributes["name"]: field.attributes["value"] for field in form.all("input", type="hidden")}
    del fields["csrfmiddlewaretoken"]

    answer = boss.post("spendrecord_changelist", query="?q=7", **fields)

    assert [row["charge_id"] for row in read(answer.getvalue())] == ["c1"]


def test_every_record_comes_once_also_those_of_one_instant(boss, monkeypatch):
    monkeypatch.setattr(record_export, "_PIECE", 4)
    SpendRecord.objects.bulk_create(
        SpendRecord(charge_id=f"c{number}", cost_nanos=1, at=NOON - timedelta(seconds=number // 7), journal_id=1)
        for number in range(50)
    )

    rows = export_all(boss)

    assert len(rows) == 50
    assert len({row["charge_id"] for row in rows}) == 50
    assert [row["booked_at"] for row in rows] == sorted((row["booked_at"] for row in rows), reverse=True)


@pytest.mark.parametrize("number", [0, 3, 4, 8])
def test_pieces_may_end_where_the_records_do(boss, monkeypatch, number):
    monkeypatch.setattr(record_export, "_PIECE", 4)
    for each in range(number):
        kept(f"c{each}")

    assert len(export_all(boss)) == number


def test_a_piece_costs_two_queries_and_is_sent_before_the_next_is_made(boss, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(record_export, "_PIECE", 10)
    for number in range(30):
        kept(f"c{number}", user_id=str(User.objects.create_user(f"user{number}").pk))
    pieces = export(boss, select_across="1").streaming_content

    assert next(pieces).startswith(b"\xef\xbb\xbfbooked_at,")
    for _ in range(2):
        with django_assert_num_queries(2):  # the records and their users
            assert next(pieces).count(b"\r\n") == 10


@pytest.mark.parametrize(
    "text",
    [
        "=1+1",
        "+1",
        "-1",
        "@SUM(A1)",
        "=cmd|' /C calc'!A0",
        " =1+1",
        "\t=1",
        "\r=1",
        "\n=1",
        "\N{FULLWIDTH EQUALS SIGN}1",
        "\N{FULLWIDTH PLUS SIGN}1",
        "\N{FULLWIDTH HYPHEN-MINUS}1",
        "\N{FULLWIDTH COMMERCIAL AT}1",
        "\N{NO-BREAK SPACE}=1",
    ],
)
def test_what_could_be_a_formula_is_made_text(boss, text):
    assert harmless(text) == f"'{text}"


def test_every_text_of_a_stranger_is_made_harmless(boss):
    stranger = User.objects.create_user("=HYPERLINK(1)")
    evil = "=HYPERLINK(1)"
    kept(evil, user_id=str(stranger.pk), project_id=evil, model=evil, hold_id=evil)
    kept("c2", user_id=evil, kind="refund", metadata={"refund_of": evil})

    rows = {row["booked_at"]: row for row in export_all(boss)}
    cells = [cell for row in export_all(boss) for cell in row.values()]

    assert len(rows) == 1
    assert not [cell for cell in cells if cell.startswith("=")]
    assert cells.count(f"'{evil}") == 7


@given(st.text())
def test_harmless_text_is_the_text_itself_or_begins_with_an_apostrophe(text):
    safe = harmless(text)

    assert safe in {text, f"'{text}"}
    assert not safe.lstrip().startswith(("=", "+", "-", "@"))
    assert not safe.startswith(("\t", "\r", "\n"))


def test_a_server_that_awaits_gets_the_pieces_as_they_are_made(boss, monkeypatch):
    monkeypatch.setattr(record_export, "_PIECE", 4)
    for number in range(10):
        kept(f"c{number}")
    client = AsyncClient()
    client.force_login(boss.user)

    async def main():
        answer: Any = await client.post(
            "/admin/coreason_budget/spendrecord/",
            {"action": "export_csv", "index": "0", "select_across": "1", "_selected_action": "all"},
        )
        assert answer.is_async
        return [piece async for piece in answer.streaming_content]

    pieces = async_to_sync(main)()  # on this thread's connection

    assert len(pieces) == 4
    assert len(read(b"".join(pieces))) == 10
