from __future__ import annotations

from typing import TYPE_CHECKING

from playwright.sync_api import expect

from .pages import AdminPage, ChatPage

if TYPE_CHECKING:
    from collections.abc import Callable

    from .conftest import Stage
    from .visitor import Visitor


def test_a_visitor_without_a_password_gets_the_log_in_page(visit: Callable[..., Visitor]) -> None:
    page = visit().page
    page.goto("/support/")
    expect(page.get_by_role("heading", name="Log in")).to_be_visible()


def test_who_is_refused_chats_on_once_an_admin_has_raised_the_limit(
    visit: Callable[..., Visitor], stage: Stage
) -> None:
    stage("set_up", {"ann": {"limit": "0.03"}})
    chat = ChatPage(visit("ann"))
    answered = chat.send_until_refused()
    assert answered >= 1
    expect(chat.notice.get_by_role("heading")).to_have_text("Budget used up")
    expect(chat.notice).to_contain_text("Your budget for today does not cover this request.")
    refused = stage("tell", "ann")
    assert (refused["held"], len(refused["records"])) == ("0", answered)

    admin = AdminPage(visit("admin"))
    admin.open_limit("ann")
    admin.save_limit("0.10")
    expect(admin.said).to_contain_text("0.10")

    chat.send("And now?")
    expect(chat.notice).to_be_hidden()
    expect(chat.costs).to_have_count(answered + 1)
    expect(chat.bar).to_contain_text("of $0.10 spent")
    told = stage("tell", "ann")
    assert (told["limit"], told["held"], len(told["records"])) == ("0.1", "0", answered + 1)


def test_a_long_conversation_scrolls_in_its_own_place(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("set_up", {"hugo": {"limit": "1"}})
    chat = ChatPage(visit("hugo"))
    for _ in range(5):
        chat.send("What is a budget?")
    conversation, page = chat.page.evaluate(
        "() => [document.querySelector('.conversation'), document.documentElement]"
        ".map(place => place.scrollHeight - place.clientHeight)"
    )
    assert conversation > 0
    assert page == 0


def test_what_is_blocked_now_is_refused_at_the_next_message(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("set_up", {"bob": {"limit": "1"}})
    chat = ChatPage(visit("bob"))
    chat.send("Hello")
    expect(chat.costs).to_have_count(1)

    admin = AdminPage(visit("admin"))
    admin.open("userlimit")
    admin.choose(admin.row("bob"), "Block now…")
    admin.confirm(reason="He knows why.")
    expect(admin.row("bob")).to_contain_text("blocked")

    chat.visitor.will_be_answered_with(429)
    chat.send("Hello again")
    expect(chat.notice.get_by_role("heading")).to_have_text("Budget blocked")
    expect(chat.notice).to_contain_text("please ask an administrator.")
    chat.page.reload()
    expect(chat.bar).to_contain_text("Blocked")
    told = stage("tell", "bob")
    assert (told["limit"], told["held"], len(told["records"])) == ("0", "0", 1)


def test_a_refund_is_seen_in_the_budget_bar(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("set_up", {"cid": {"limit": "1"}})
    stage("charge", [{"user": "cid", "cost": "0.75", "project": "support", "charge_id": "cid's first"}])
    chat = ChatPage(visit("cid"))
    expect(chat.bar).to_contain_text("$0.25 left")

    admin = AdminPage(visit("admin"))
    admin.open("spendrecord")
    admin.choose(admin.row("cid's first"), "Refund…")
    admin.confirm(amount="0.50", reason="The answer was bad.")
    expect(admin.said).to_contain_text("1 record was refunded: $0.50.")
    expect(admin.row("refund:cid's first")).to_contain_text("-$0.50")

    chat.page.reload()
    expect(chat.bar).to_contain_text("$0.75 left")
    told = stage("tell", "cid")
    assert told["spent"] == "0.25"
    assert told["records"] == [{"kind": "charge", "cost": "0.75"}, {"kind": "refund", "cost": "-0.5"}]


def test_a_charge_is_not_refunded_twice(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("set_up", {"dan": {"limit": "1"}})
    stage("charge", [{"user": "dan", "cost": "0.75", "charge_id": "dan's first"}])
    admin = AdminPage(visit("admin"))
    for _ in range(2):
        admin.page.goto("/admin/coreason_budget/spendrecord/?kind__exact=charge")
        admin.choose(admin.row("dan's first"), "Refund…")
        admin.confirm(reason="Twice")
    expect(admin.said).to_contain_text("1 record was not refunded:")
    assert stage("tell", "dan")["spent"] == "0"


def test_who_stops_an_answer_pays_for_what_was_said(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("set_up", {"flo": {"limit": "1"}})
    chat = ChatPage(visit("flo"))
    chat.page.get_by_label("Your message").fill("Tell me everything")
    chat.page.get_by_role("button", name="Send").click()
    expect(chat.page.locator(".exchange .answer")).not_to_be_empty()
    chat.page.get_by_role("button", name="Stop").click()
    expect(chat.page.locator(".exchange .cost")).to_have_text("Stopped. What was written is charged.")
    expect(chat.bar).not_to_contain_text("$0.00 of")
    told = stage("tell", "flo")
    assert told["held"] == "0"
    assert [record["kind"] for record in told["records"]] == ["charge"]
    assert told["spent"] == told["records"][0]["cost"]


def test_without_javascript_the_form_does_it(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("set_up", {"gus": {"limit": "0.02"}})
    visitor = visit("gus", java_script_enabled=False)
    page = visitor.page
    page.get_by_label("Your message").fill("Hello")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_text("cost $0.0")).to_be_visible()
    visitor.will_be_answered_with(429)
    page.get_by_label("Your message").fill("Hello again")
    page.get_by_role("button", name="Send").click()
    expect(page.get_by_role("heading", name="Budget used up")).to_be_visible()
    assert len(stage("tell", "gus")["records"]) == 1
