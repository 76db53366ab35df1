"""Who sees and does what of a page: not even a button of what they may not. Addresses: ``test_every_address``."""

from __future__ import annotations

import pytest
from django.contrib.admin.models import LogEntry
from django.contrib.auth.models import User
from django.urls import reverse

from coreason_budget.models import GlobalLimit, ModelPrice, ProjectLimit, SpendRecord, UserLimit

from .conftest import booked
from .test_limit_form import filled

pytestmark = pytest.mark.usefixtures("ledger")


@pytest.fixture
def objects(ann):
    return {
        "userlimit": UserLimit.objects.create(user=ann, amount_usd="10.5", reason="pilot"),
        "projectlimit": ProjectLimit.objects.create(project_id="apollo", amount_usd="10.5", reason="pilot"),
        "globallimit": GlobalLimit.objects.create(amount_usd="10.5", reason="pilot"),
        "modelprice": ModelPrice.objects.create(model="gpt", input_usd_per_million="2.5", output_usd_per_million=10),
        "spendrecord": booked(user_id=ann.pk, charge_id="c1"),
    }


@pytest.mark.parametrize("model", ["userlimit", "projectlimit", "globallimit"])
def test_those_who_may_only_look_see_limits_without_actions(staff, objects, model):
    viewer = staff(f"view_{model}")
    limit = objects[model]

    page = viewer.get(f"{model}_changelist")
    assert [row["limit"] for row in page.texts] == ["$10.50"]
    assert page.actions == set()
    assert not list(page.root.all("input", "action-select"))

    form = viewer.get(f"{model}_change", limit.pk)
    assert form.tools == []
    assert not list(form.root.all("input", name="amount_usd"))
    assert form.root.one("div", "field-limit").text == "Limit: $10.50"
    assert form.root.one("div", "field-reason").text == "Reason: pilot"
    assert not list(form.root.all("input", name="_save"))


@pytest.mark.parametrize("model", ["userlimit", "projectlimit", "globallimit"])
@pytest.mark.parametrize("action", ["block_now", "boost_today", "delete_selected"])
def test_those_who_may_only_look_change_nothing(staff, objects, model, action):
    viewer = staff(f"view_{model}")
    limit = objects[model]
    told = {"confirmed": "yes", "post": "yes", "amount": "99", "reason": "mine"}

    page = viewer.act(model, action, [limit], **told)
    assert page.messages in ([], ["No action selected."])
    assert viewer.post(f"{model}_change", limit.pk, **filled(amount_usd="99")).status_code == 403

    limit.refresh_from_db()
    assert (limit.amount_usd, limit.boost_usd) == (10.5, None)
    assert not LogEntry.objects.exists()


def test_adding_limits_is_not_changing_them(staff, objects):
    adder = staff("add_projectlimit", "view_projectlimit")

    assert adder.get("projectlimit_changelist").actions == set()
    adder.post("projectlimit_add", **filled(project_id="gemini", amount_usd="1"))

    assert ProjectLimit.objects.count() == 2


def test_those_who_may_change_limits_see_the_actions(staff, objects):
    changer = staff("change_projectlimit", "view_projectlimit")

    assert changer.get("projectlimit_changelist").actions == {"block_now", "boost_today"}
    assert changer.get("projectlimit_change", objects["projectlimit"].pk).tools == ["boost_today", "block_now"]


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_nobody_adds_changes_or_deletes_records(boss, objects, method):
    pk = objects["spendrecord"].pk
    before = SpendRecord.objects.values().get()

    for view, args in (("add", []), ("delete", [pk])):
        url = reverse(f"admin:coreason_budget_spendrecord_{view}", args=args)
        assert boss.client.generic(method, url).status_code == 403
    answer = boss.client.post(reverse("admin:coreason_budget_spendrecord_change", args=[pk]), {"cost_nanos": "0"})
    assert answer.status_code == 403
    boss.act("spendrecord", "delete_selected", [objects["spendrecord"]], post="yes", confirmed="yes")

    assert SpendRecord.objects.values().get() == before


def test_those_who_may_look_at_records_may_export_but_not_refund(staff, objects):
    viewer = staff("view_spendrecord")
    record = objects["spendrecord"]

    page = viewer.get("spendrecord_changelist")
    assert page.actions == {"export_csv"}
    assert viewer.get("spendrecord_change", record.pk).tools == []
    viewer.act("spendrecord", "refund", [record], confirmed="yes", reason="mine")

    assert SpendRecord.objects.count() == 1


def test_a_refund_needs_a_permission_of_its_own(staff, objects):
    refunder = staff("view_spendrecord", "refund_spendrecord")

    assert refunder.get("spendrecord_changelist").actions == {"export_csv", "refund"}
    assert refunder.get("spendrecord_change", objects["spendrecord"].pk).tools == ["refund"]


def test_prices_are_shown_to_those_who_may_only_look(staff, objects):
    viewer = staff("view_modelprice")

    page = viewer.get("modelprice_change", objects["modelprice"].pk)

    assert page.root.one("div", "field-input").text == "Input: $2.50"
    assert not list(page.root.all("input", name="input_usd_per_million"))
    assert viewer.get("modelprice_changelist").actions == set()


def test_an_autocomplete_is_offered_only_to_those_who_may_see_users(staff):
    blind = staff("add_userlimit", name="blind")
    seeing = staff("add_userlimit", "view_user", name="seeing")

    assert "vForeignKeyRawIdAdminField" in blind.get("userlimit_add").root.one("input", name="user").classes
    assert "admin-autocomplete" in seeing.get("userlimit_add").root.one("select", name="user").classes
    found = seeing.client.get(
        "/admin/autocomplete/",
        {"app_label": "coreason_budget", "model_name": "userlimit", "field_name": "user", "term": "blin"},
    )
    assert [result["text"] for result in found.json()["results"]] == ["blind"]


def test_a_user_can_be_named_by_primary_key(staff):
    blind = staff("add_userlimit", "view_userlimit")
    ann = User.objects.create_user("ann")

    blind.post("userlimit_add", **filled(user=str(ann.pk), amount_usd="3"))

    assert UserLimit.objects.get().user == ann
