"""The list of spend records, and the page of one: who spent what, and what was taken back."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from coreason_budget import service
from coreason_budget.admin import record_search
from coreason_budget.models import DailySum, SpendRecord

from .conftest import booked

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
NOTHING = "\N{EN DASH}"

pytestmark = pytest.mark.usefixtures("ledger")


def kept(charge_id, **values):
    """Return a record as it is in the database, whoever wrote it."""
    defaults = {"cost_nanos": 10_000_000, "at": NOON, "user_id": "7", "journal_id": 1}
    return SpendRecord.objects.create(charge_id=charge_id, **{**defaults, **values})


def ids(page):
    return [row["record"].one("bdi").text for row in page.rows]


def test_a_record_is_shown_with_all_that_it_says(boss, ann, settings):
    settings.TIME_ZONE = "UTC"
    kept(
        "c1",
        user_id=str(ann.pk),
        project_id="apollo",
        model="gpt-4o",
        cost_nanos=1_234_567_890_123,
        input_tokens=1_234_567,
        output_tokens=890,
        at=NOON + timedelta(seconds=7),
    )

    row = boss.get("spendrecord_changelist").rows[0]

    assert row["record"].text == "2026-11-23 12:00:07 UTC c1"
    assert row["record"].one("time").attributes["datetime"] == "2026-11-23T12:00:07+00:00"
    assert row["cost"].text == "$1,234.567890123"
    assert row["kind_of_record"].text == "charge"
    assert row["user"].text == "ann"
    assert row["project"].text == "apollo"
    assert row["model_and_tokens"].text == "gpt-4o 1,234,567 in, 890 out"


@pytest.mark.parametrize(
    ("values", "column", "text"),
    [
        ({"cost_nanos": -1}, "cost", "-$0.000000001"),
        ({"user_id": ""}, "user", "anonymous"),
        ({"user_id": "no such user"}, "user", "no such user"),
        ({"user_id": "007"}, "user", "007"),
        ({"user_id": "9" * 30}, "user", "9" * 30),
        ({"project_id": ""}, "project", NOTHING),
        ({"model": ""}, "model_and_tokens", NOTHING),
        ({"model": "m", "output_tokens": 5}, "model_and_tokens", "m 5 out"),
        ({"kind": "expired"}, "kind_of_record", "expired hold"),
        ({"kind": "adjustment"}, "kind_of_record", "adjustment"),
        ({"journal_id": None}, "kind_of_record", "charge not counted yet"),
        ({"journal_id": 0}, "kind_of_record", "charge"),
    ],
)
def test_what_is_special_is_told(boss, values, column, text):
    User.objects.create_user("bond", pk=7000)
    kept("c1", **values)

    assert boss.get("spendrecord_changelist").texts[0][column] == text


def test_numbers_are_written_as_the_language_does(boss, settings):
    kept("c1", cost_nanos=1_234_500_000_000, input_tokens=1_234_567)
    settings.LANGUAGE_CODE = "de"

    row = boss.get("spendrecord_changelist").texts[0]

    assert "1.234,50" in row["cost"]
    assert "1.234.567" in row["model_and_tokens"]


def test_users_and_projects_lead_to_everything_of_theirs(boss, ann):
    kept("c1", user_id=str(ann.pk), project_id="a&b=c")

    row = boss.get("spendrecord_changelist").rows[0]

    assert row["user"].one("a").attributes["href"] == f"/admin/coreason_budget/spendrecord/?q={ann.pk}"
    assert row["project"].one("a").attributes["href"] == "/admin/coreason_budget/spendrecord/?q=a%26b%3Dc"


def test_a_refund_and_its_original_lead_to_each_other(boss, ann):
    original = booked(user_id=ann.pk, cost="0.5", charge_id="c1")
    service.refund("c1", "0.2", reason="wrong model", by="boss")
    refund = SpendRecord.objects.get(kind="refund")

    rows = {row["record"].one("bdi").text: row["kind_of_record"] for row in boss.get("spendrecord_changelist").rows}

    assert rows["c1"].text == "charge refunded -$0.20"
    assert rows["c1"].one("a").attributes["href"] == f"/admin/coreason_budget/spendrecord/{refund.pk}/change/"
    assert rows["refund:c1"].text == "refund of c1"
    assert rows["refund:c1"].one("a").attributes["href"] == f"/admin/coreason_budget/spendrecord/{original.pk}/change/"
    page = boss.get("spendrecord_change", refund.pk)
    assert page.root.one("div", "field-refunds").text == "Refund: of c1"
    assert '"reason": "wrong model"' in page.root.one("pre").text
    assert page.tools == []


@pytest.mark.parametrize(
    ("original", "refund"),
    [
        ({"charge_id": "c1"}, {"charge_id": "refund:c1"}),
        ({"charge_id": "c1"}, {"charge_id": "x", "metadata": {"refund_of": "c1"}}),
        ({"charge_id": "expired:h1", "hold_id": "h1", "kind": "expired"}, {"charge_id": "h1~refund", "hold_id": "h1"}),
    ],
)
def test_a_refund_of_any_origin_names_its_original(boss, original, refund):
    first = kept(**original)
    second = kept(**refund, kind="refund", cost_nanos=-1)

    rows = {row["record"].one("bdi").text: row["kind_of_record"] for row in boss.get("spendrecord_changelist").rows}

    link = rows[second.charge_id].one("a").attributes["href"]
    assert link == f"/admin/coreason_budget/spendrecord/{first.pk}/change/"


@pytest.mark.parametrize("metadata", [None, [], {"refund_of": 7}, {"refund_of": "gone"}, "text"])
def test_a_refund_whose_original_is_not_there_stands_alone(boss, metadata):
    kept("odd", kind="refund", metadata=metadata if metadata is not None else {})

    assert boss.get("spendrecord_changelist").texts[0]["kind_of_record"] == "refund"


def test_the_page_of_a_record_shows_everything(boss, ann):
    record = kept("c1", user_id=str(ann.pk), hold_id="h1", journal_id=77, metadata={"a": "\N{RIGHT-TO-LEFT OVERRIDE}b"})

    page = boss.get("spendrecord_change", record.pk)

    shown = {name: page.root.one("div", f"field-{name}").text for name in ("user", "charge", "hold", "ledger", "notes")}
    assert shown == {
        "user": "User: ann",
        "charge": "Charge id: c1",
        "hold": "Hold: h1",
        "ledger": "Ledger: 77",
        "notes": 'Metadata: { "a": "⟨U+202E⟩b" }',
    }
    assert page.tools == ["refund"]


@pytest.mark.parametrize(
    ("journal_id", "said"),
    [
        (None, "Ledger: not counted yet: it was written while Redis was down"),
        (0, "Ledger: counted after it was written, while Redis was down"),
    ],
)
def test_the_page_says_how_the_ledger_knows_of_a_record(boss, journal_id, said):
    record = kept("c1", journal_id=journal_id)

    assert boss.get("spendrecord_change", record.pk).root.one("div", "field-ledger").text == said


def test_a_record_that_is_not_there_leads_away(boss):
    answer = boss.client.get("/admin/coreason_budget/spendrecord/999/change/")

    assert (answer.status_code, answer.headers["Location"]) == (302, "/admin/")


# how much is asked and counted


def test_the_list_has_a_fixed_number_of_queries(boss, django_assert_num_queries):
    users = [User.objects.create_user(f"user{number}") for number in range(30)]
    for number in range(120):
        kept(f"c{number}", user_id=str(users[number % 30].pk), project_id=f"p{number}")
    kept("refund:c119", kind="refund", cost_nanos=-1)
    boss.get("spendrecord_changelist")

    # Session, user, the bounded count, the page, its users, its refunds, the day of the latest sum.
    with django_assert_num_queries(7):
        page = boss.get("spendrecord_changelist")

    assert len(page.rows) == 100


def test_the_page_of_a_record_has_a_fixed_number_of_queries(boss, ann, django_assert_num_queries):
    record = kept("c1", user_id=str(ann.pk))
    boss.get("spendrecord_change", record.pk)

    with django_assert_num_queries(5):  # session, user, the record, its user, its refund
        boss.get("spendrecord_change", record.pk)


def test_a_list_that_ends_says_since_when_there_are_single_records(boss):
    def said():
        return [each.text for each in boss.get("spendrecord_changelist").root.all("p", "budget-more")]

    kept("there")
    assert said() == []

    DailySum.objects.create(
        at=datetime(2026, 3, 2, 12, tzinfo=UTC),
        kind="charge",
        cost_nanos=1,
        given_back_nanos=0,
        records=1,
        input_tokens=0,
        output_tokens=0,
    )
    assert said() == [
        "Single records are kept from 2026-03-03 on. Older ones were pruned: the overview has their daily sums."
    ]


def test_the_list_counts_no_further_than_its_pages_reach(boss, monkeypatch, django_assert_num_queries):
    monkeypatch.setattr(record_search, "MAX_COUNT", 110)
    SpendRecord.objects.bulk_create(
        SpendRecord(charge_id=f"c{number}", cost_nanos=1, at=NOON, journal_id=1) for number in range(300)
    )

    with django_assert_num_queries(5) as queries:
        page = boss.get("spendrecord_changelist")

    counts = [query["sql"] for query in queries.captured_queries if "COUNT(" in query["sql"]]
    assert len(counts) == 1
    assert "LIMIT 111" in counts[0]
    assert page.response.context["cl"].result_count == 110
    assert "Search or filter to reach older ones." in page.root.text
    assert "Select all 110 spend records and all older ones" in page.root.text
    assert len(boss.get("spendrecord_changelist", p="2").rows) == 10
    assert boss.client.get("/admin/coreason_budget/spendrecord/?p=3").status_code == 302


def test_a_short_list_says_nothing_of_older_ones(boss):
    kept("c1")

    page = boss.get("spendrecord_changelist")

    assert "older" not in page.root.text
    assert "1 spend record" in page.root.text


@pytest.mark.parametrize("query", [{}, {"all": ""}, {"o": "2"}, {"o": "-1.2"}, {"_facets": "True"}])
def test_the_newest_record_is_first_whatever_the_address_says(boss, query, django_assert_num_queries):
    for number in range(3):
        kept(f"c{number}", cost_nanos=100 - number, at=NOON - timedelta(hours=number))

    with django_assert_num_queries(7):
        page = boss.get("spendrecord_changelist", **query)

    assert ids(page) == ["c2", "c1", "c0"]


@pytest.mark.parametrize(
    "lookup",
    ["model__icontains", "project_id", "cost_nanos__gt", "at__year", "metadata__a", "hold_id", "user_id", "odd"],
)
def test_conditions_that_no_index_answers_are_refused(boss, lookup):
    kept("c1")

    assert boss.client.get("/admin/coreason_budget/spendrecord/", {lookup: "1"}).status_code == 400
