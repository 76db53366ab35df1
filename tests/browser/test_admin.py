from __future__ import annotations

from typing import TYPE_CHECKING, Final

from playwright.sync_api import expect

from .pages import AdminPage, ChatPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Stage
    from .visitor import Visitor

HOSTILE: Final = "<img src=x onerror=alert(1)>"
HOSTILE_PROJECT: Final = "\"><script>alert(2)</script>{{ 7|add:'7' }}'"


def test_hostile_names_are_shown_as_they_are_and_do_nothing(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("set_up", {HOSTILE: {"limit": "1"}})
    stage("limit_project", {HOSTILE_PROJECT: "0.5"})
    charge_id = "'><svg onload=alert(3)>"
    stage("charge", [{"user": HOSTILE, "cost": "0.25", "project": HOSTILE_PROJECT, "charge_id": charge_id}])

    chat = ChatPage(visit(HOSTILE))
    expect(chat.page.get_by_role("banner")).to_contain_text(HOSTILE)
    chat.send(HOSTILE_PROJECT)
    expect(chat.page.get_by_role("log")).to_contain_text(HOSTILE_PROJECT)

    admin = AdminPage(visit("admin"))
    admin.open("userlimit")
    expect(admin.row(HOSTILE)).to_contain_text("of $1.00")
    admin.open("projectlimit")
    expect(admin.row(HOSTILE_PROJECT)).to_contain_text("$0.25 of $0.50")
    admin.page.get_by_role("link", name=HOSTILE_PROJECT, exact=True).click()
    expect(admin.page.get_by_role("heading", name=HOSTILE_PROJECT)).to_be_visible()
    admin.open("spendrecord")
    expect(admin.row(charge_id)).to_contain_text(HOSTILE_PROJECT)
    admin.choose(admin.row(charge_id), "Refund…")
    admin.confirm(reason=HOSTILE)
    expect(admin.said).to_contain_text("1 record was refunded: $0.25.")
    admin.page.goto("/admin/")
    expect(admin.page.get_by_role("heading", name="Recent actions")).to_be_visible()


def test_who_may_only_look_finds_no_way_to_change(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("set_up", {"hal": {"limit": "1"}, "auditor": {"is_staff": True, "permissions": ["view_userlimit"]}})
    admin = AdminPage(visit("auditor"))
    admin.open("userlimit")
    expect(admin.row("hal")).to_contain_text("of $1.00")
    expect(admin.page.get_by_label("Action:")).to_have_count(0)
    admin.page.get_by_role("link", name="hal", exact=True).click()
    expect(admin.page.get_by_text("View user limit")).to_be_visible()
    expect(admin.page.get_by_role("button", name="Save")).to_have_count(0)
    expect(admin.page.get_by_text("Block now…")).to_have_count(0)


def test_a_limit_is_added_by_searching_for_its_user(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("set_up", {"ida": {}})
    admin = AdminPage(visit("admin"))
    admin.page.goto("/admin/coreason_budget/userlimit/add/")
    admin.page.locator(".field-user .select2-selection").click()
    admin.page.locator(".select2-search__field").fill("ida")
    admin.page.get_by_role("option", name="ida").click()
    admin.page.get_by_label("Limit (USD):", exact=True).fill("0.125")
    admin.page.get_by_role("button", name="Save", exact=True).click()
    expect(admin.row("ida")).to_contain_text("$0.125")
    assert stage("tell", "ida")["limit"] == "0.125"


def test_an_empty_limit_is_not_taken_for_unlimited(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("set_up", {"joe": {"limit": "1"}})
    admin = AdminPage(visit("admin"))
    admin.open_limit("joe")
    admin.save_limit("")
    expect(admin.page.get_by_text("Enter an amount, 0 to block every call, or tick “unlimited”.")).to_be_visible()
    assert stage("tell", "joe")["limit"] == "1"
    admin.page.get_by_role("checkbox", name="Unlimited").check()
    admin.page.get_by_role("button", name="Save", exact=True).click()
    expect(admin.row("joe")).to_contain_text("unlimited")
    assert stage("tell", "joe")["limit"] is None
