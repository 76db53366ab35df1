"""Refunds from the admin: confirmed, each for itself, told plainly and written into the history."""

from __future__ import annotations

from decimal import Decimal

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connections
from django.urls import resolve, reverse

from coreason_budget import BudgetUnavailableError, service
from coreason_budget.admin import record_refunds
from coreason_budget.models import SpendRecord

from .conftest import booked
from .test_records import kept

pytestmark = pytest.mark.usefixtures("ledger")


def refunds():
    return {record.charge_id: record for record in SpendRecord.objects.filter(kind="refund")}


def history():
    return [(entry.object_id, entry.get_change_message()) for entry in LogEntry.objects.order_by("pk")]


def test_the_list_asks_first_and_says_what_will_happen(boss, ann, settings):
    settings.TIME_ZONE = "UTC"
    first = booked(user_id=ann.pk, project_id="apollo", cost="0.5", charge_id="c1")
    again = booked(user_id=ann.pk, cost="0.25", charge_id="c2")
    service.refund("c2")

    page = boss.act("spendrecord", "refund", [first, again, refunds()["refund:c2"], kept("c3", kind="adjustment")])

    rows = {row[0]: row[2:] for row in page.foreseen}
    assert rows["c1"] == ["ann", "apollo", "$0.50", "is refunded"]
    assert rows["c2"][-1] == "is not refunded: it was refunded before"
    assert rows["refund:c2"][-1] == "is not refunded: it is a refund itself"
    assert rows["c3"][-1] == "is not refunded: it cost nothing that could be given back"
    assert page.root.one("tfoot").text == "Sum $0.50"
    assert len(refunds()) == 1
    assert history() == []


def test_a_refund_books_a_negative_record_that_names_the_original(boss, ann):
    record = booked(user_id=ann.pk, project_id="apollo", cost="0.5", charge_id="c1")

    page = boss.act("spendrecord", "refund", [record], confirmed="yes", amount="", reason="wrong model")

    assert page.messages == ["1 record was refunded: $0.50."]
    refund = refunds()["refund:c1"]
    assert refund.cost_usd == Decimal("-0.5")
    assert (refund.user_id, refund.project_id) == (str(ann.pk), "apollo")
    assert refund.metadata == {"refund_of": "c1", "reason": "wrong model", "by": "boss"}
    assert history() == [(str(record.pk), "Refunded $0.50 as refund:c1. Reason: wrong model")]
    assert LogEntry.objects.get().user == boss.user
    assert "wrong model" in boss.get("spendrecord_history", record.pk).root.text


def test_a_refund_makes_room_for_the_next_call(boss, ann):
    record = booked(user_id=ann.pk, cost="10", charge_id="c1")

    boss.act("spendrecord", "refund", [record], confirmed="yes", amount="", reason="ours")

    assert service.check(ann.pk, amount="10")


def test_a_part_can_be_refunded_of_a_single_record(boss, ann):
    record = booked(user_id=ann.pk, cost="0.5", charge_id="c1")
    other = booked(user_id=ann.pk, cost="0.5", charge_id="c2")
    assert list(boss.act("spendrecord", "refund", [record]).root.all("input", name="amount"))
    assert not list(boss.act("spendrecord", "refund", [record, other]).root.all("input", name="amount"))

    boss.act("spendrecord", "refund", [record], confirmed="yes", amount="0.2", reason="half")

    assert refunds()["refund:c1"].cost_usd == Decimal("-0.2")


def test_more_than_it_was_is_not_refunded(boss, ann):
    record = booked(user_id=ann.pk, cost="0.5", charge_id="c1")

    page = boss.act("spendrecord", "refund", [record], confirmed="yes", amount="0.6", reason="x")

    assert page.messages[0].startswith("1 record was not refunded: c1: amount must be at most 0.5 USD")
    assert refunds() == {}
    assert history() == []


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"amount": "", "reason": ""}, "This field is required."),
        ({"amount": "0", "reason": "x"}, "0 is nothing to refund. Leave it empty for all that is left."),
        ({"amount": "-1", "reason": "x"}, "“-1” is negative. An amount is 0 or more."),
        ({"amount": "", "reason": "x" * 501}, "Ensure this value has at most 500 characters (it has 501)."),
    ],
)
def test_the_page_refuses_what_it_cannot_use(boss, ann, data, said):
    record = booked(user_id=ann.pk, cost="0.5", charge_id="c1")

    page = boss.act("spendrecord", "refund", [record], confirmed="yes", **data)

    assert page.errors == [said]
    assert refunds() == {}


def test_nothing_is_refunded_twice(boss, ann):
    record = booked(user_id=ann.pk, cost="0.5", charge_id="c1")

    boss.act("spendrecord", "refund", [record], confirmed="yes", amount="", reason="x")
    page = boss.act("spendrecord", "refund", [record], confirmed="yes", amount="", reason="x")

    assert page.messages == ["1 record was not refunded: c1: it was refunded before"]
    assert len(refunds()) == 1
    assert len(history()) == 1


def test_a_refund_that_the_page_did_not_know_of_is_told_by_the_ledger(boss, ann, monkeypatch):
    record = booked(user_id=ann.pk, cost="0.5", charge_id="c1")
    service.refund("c1")
    monkeypatch.setattr(record_refunds, "why_not", lambda record, links: "")

    page = boss.act("spendrecord", "refund", [record], confirmed="yes", amount="", reason="x")

    assert page.messages == [
        "1 record was not refunded: c1: The record 'c1' was refunded before; what was spent is refunded once."
    ]


def test_each_record_stands_for_itself(boss, ann):
    good = [booked(user_id=ann.pk, cost=cost, charge_id=f"c{cost}") for cost in ("0.5", "0.25")]
    bad = kept("free", cost_nanos=0)

    page = boss.act("spendrecord", "refund", [good[0], bad, good[1]], confirmed="yes", reason="x")

    assert page.messages == [
        "2 records were refunded: $0.75 in all.",
        "1 record was not refunded: free: it cost nothing that could be given back",
    ]
    assert set(refunds()) == {"refund:c0.5", "refund:c0.25"}
    assert {object_id for object_id, _ in history()} == {str(record.pk) for record in good}


def test_without_redis_nothing_is_refunded_and_nobody_waits_for_each(boss, ann, monkeypatch):
    records = [booked(user_id=ann.pk, cost="0.5", charge_id=f"c{number}") for number in range(5)]
    tried = []

    def unavailable(charge_id, *_, **__):
        tried.append(charge_id)
        raise BudgetUnavailableError("Redis cannot be used")

    monkeypatch.setattr(service, "refund", unavailable)
    page = boss.act("spendrecord", "refund", records, confirmed="yes", reason="x")

    assert len(tried) == 1
    assert page.messages[0].startswith("5 records were not refunded: ")
    assert page.messages[0].count("Redis cannot be used") == 5
    assert history() == []


def test_the_button_of_a_record_leads_back_to_it(boss, ann):
    record = booked(user_id=ann.pk, cost="0.5", charge_id="c1")
    url = f"/admin/coreason_budget/spendrecord/{record.pk}/change/"
    assert boss.get("spendrecord_change", record.pk).tools == ["refund"]

    page = boss.act("spendrecord", "refund", [record], origin="change_form")
    assert page.root.one("a", "closelink").attributes["href"] == url
    done = boss.act("spendrecord", "refund", [record], origin="change_form", confirmed="yes", amount="", reason="x")

    assert done.response.redirect_chain == [(url, 302)]
    assert done.tools == []
    assert done.root.one("div", "field-refunds").text == "Refund: refunded -$0.50"


@pytest.mark.parametrize("values", [{"kind": "refund"}, {"kind": "adjustment"}, {"cost_nanos": 0}])
def test_what_cannot_be_refunded_has_no_button(boss, values):
    assert boss.get("spendrecord_change", kept("c1", **values).pk).tools == []


def test_a_selection_that_is_not_there_refunds_nothing(boss):
    page = boss.act("spendrecord", "refund", [SpendRecord(pk=999)], confirmed="yes", amount="", reason="x")

    assert page.messages == ["What was chosen is gone. Nothing was changed."]
    assert refunds() == {}


def test_asking_costs_the_same_for_any_number(boss, ann, django_assert_num_queries):
    records = [kept(f"c{number}", user_id=str(ann.pk)) for number in range(50)]
    data = {"action": "refund", "index": "0", "_selected_action": [record.pk for record in records]}

    with django_assert_num_queries(6):  # session, user, the bounded count, the records, their user, their refunds
        answer = boss.post("spendrecord_changelist", follow=False, **data)

    assert answer.status_code == 200


def test_a_refund_is_in_no_transaction_of_its_request():
    address = resolve(reverse("admin:coreason_budget_spendrecord_changelist"))
    for alias in (*connections, "another"):
        assert alias in getattr(address.func, "_non_atomic_requests")  # noqa: B009 - of no type that has it
