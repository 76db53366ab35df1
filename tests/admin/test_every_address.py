"""Every address of the app in the admin, those that are added later too: who has no permission gets nothing from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest
from django.contrib import admin
from django.contrib.admin.models import LogEntry
from django.test import Client
from django.urls import reverse

from coreason_budget import service
from coreason_budget.models import GlobalLimit, ModelPrice, ProjectLimit, SpendRecord, UserLimit

from .conftest import booked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from django.db.models import Model

APP: Final = "coreason_budget"
MODELS: Final = [model for model in admin.site._registry if model._meta.app_label == APP]

#: What those may open who may only look at the rows of one model; all else they may not.
TO_LOOK_AT: Final = {"changelist", "change", "history", "overview", "refusals", "export"}

#: Amounts and names of which no part is shown to who may not look.
AMOUNT: Final = "0.98765"
SECRETS: Final = ("98765", "apollo-secret", "ann@", "gpt-secret", "first-charge")

#: Sent to every address: it is meant, whatever it is.
ACTIONS: Final = [action for model in MODELS for action in admin.site._registry[model].actions or ()]
ORDERS: Final = sorted({"delete_selected", *(action.__name__ for action in ACTIONS if callable(action))})
ANSWERS: Final = {
    "amount_usd": "7",
    "amount": "7",
    "reason": "mine",
    "period": "day",
    "project_id": "mine",
    "model": "mine",
    "input_usd_per_million": "7",
    "output_usd_per_million": "7",
    "post": "yes",
    "confirmed": "yes",
    "index": "0",
}


def _addresses() -> Iterator[tuple[str, type[Model], bool]]:
    """Yield every page of the app: its name, of which model it is, and whether it is about one row."""
    for model in MODELS:
        for pattern in admin.site._registry[model].urls:
            if pattern.name is not None:  # the nameless one leads to a row's page
                name = pattern.name.removeprefix(f"{APP}_")
                yield name, model, "object_id" in pattern.pattern.converters


ADDRESSES: Final = {name: (model, is_about_one) for name, model, is_about_one in _addresses()}


@pytest.fixture
def rows(ledger, ann) -> dict[type[Model], Any]:
    """One row of every model, all with an amount or a name that is a secret."""
    return {
        UserLimit: UserLimit.objects.create(user=ann, amount_usd=AMOUNT),
        ProjectLimit: ProjectLimit.objects.create(project_id="apollo-secret", amount_usd=AMOUNT),
        GlobalLimit: GlobalLimit.objects.create(amount_usd=AMOUNT),
        ModelPrice: ModelPrice.objects.create(
            model="gpt-secret", input_usd_per_million=AMOUNT, output_usd_per_million=AMOUNT
        ),
        SpendRecord: booked(user_id=ann.pk, project_id="apollo-secret", cost="9.98765", charge_id="first-charge"),
    }


@pytest.fixture
def nothing_has_changed(rows) -> Iterator[None]:
    before = everything()
    yield
    assert everything() == before


def everything() -> tuple[object, ...]:
    """Return what must stay as it is: rows, the history of changes, and what is spent and held."""
    rows = [list(model._default_manager.order_by("pk").values()) for model in MODELS]
    accounts = [(item.scope, item.spent, item.held) for item in service.status("nobody", "apollo-secret")]
    return rows, LogEntry.objects.count(), accounts


def address_of(name: str, rows: dict[type[Model], Any]) -> str:
    model, is_about_one = ADDRESSES[name]
    return reverse(f"admin:{APP}_{name}", args=[rows[model].pk] if is_about_one else [])


def tries(client: Client, address: str, pk: object) -> Iterator[Any]:
    """Yield the answers of an address to who looks at it, in every way, and to who orders something of it."""
    yield client.get(address)
    yield client.get(address, {"q": "ann", "all": "", "_popup": "1", "user": "ann", "by": "project"})
    yield client.post(address, ANSWERS)
    for action in ORDERS:
        yield client.post(address, {**ANSWERS, "action": action, "_selected_action": [pk]})


def told(answer: Any) -> str:
    """Return everything that an answer says."""
    return b"".join(answer).decode() + str(answer.headers)


def test_the_addresses_are_those_of_the_app() -> None:
    assert {*MODELS} >= {UserLimit, ProjectLimit, GlobalLimit, ModelPrice, SpendRecord}
    kinds = {name.rpartition("_")[2] for name in ADDRESSES}
    assert kinds >= {"changelist", "add", "change", "delete", "history", "overview"}


@pytest.mark.parametrize("name", ADDRESSES)
def test_who_is_no_staff_is_sent_to_the_log_in(rows, ann, nothing_has_changed, name):
    stranger, user, address = Client(), Client(), address_of(name, rows)
    user.force_login(ann)

    for client in (stranger, user):
        for answer in tries(client, address, rows[ADDRESSES[name][0]].pk):
            assert answer.status_code == 302
            assert answer.headers["Location"].startswith("/admin/login/")


@pytest.mark.parametrize("name", ADDRESSES)
@pytest.mark.parametrize("who", ["staff without a permission", "staff who may do all, but not look here"])
def test_staff_without_the_permission_get_neither_page_nor_action_nor_figure(
    staff, rows, nothing_has_changed, name, who
):
    model = ADDRESSES[name][0]
    others = [] if who == "staff without a permission" else [other for other in MODELS if other is not model]
    verbs = ("add", "change", "delete", "view")
    granted = [f"{verb}_{other._meta.model_name}" for other in others for verb in verbs]
    client = staff(*granted, *(["refund_spendrecord", "reset_spendrecord", "view_user"] if others else [])).client

    for answer in tries(client, address_of(name, rows), rows[model].pk):
        assert answer.status_code == 403
        assert [secret for secret in SECRETS if secret in told(answer)] == []


@pytest.mark.parametrize("name", ADDRESSES)
def test_those_who_may_only_look_change_nothing(staff, rows, nothing_has_changed, name):
    model = ADDRESSES[name][0]
    client, address = staff(f"view_{model._meta.model_name}").client, address_of(name, rows)
    may_look = name.rpartition("_")[2] in TO_LOOK_AT

    looked, _, *ordered = tries(client, address, rows[model].pk)

    assert looked.status_code == (200 if may_look else 403)
    if not may_look:
        assert {answer.status_code for answer in ordered} == {403}
        assert [secret for secret in SECRETS if secret in told(looked)] == []


@pytest.mark.parametrize("address", ["/admin/", f"/admin/{APP}/", "/admin/autocomplete/", "/admin/jsi18n/"])
def test_pages_around_it_show_nothing_of_it_to_staff_without_a_permission(staff, rows, nothing_has_changed, address):
    query = {"app_label": APP, "model_name": "userlimit", "field_name": "user", "term": "a"}

    answer = staff().client.get(address, query)

    assert answer.status_code == {f"/admin/{APP}/": 404, "/admin/autocomplete/": 403}.get(address, 200)
    assert [secret for secret in (*SECRETS, "LLM budgets", "verview of spend") if secret in told(answer)] == []
