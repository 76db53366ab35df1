from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from playwright.sync_api import expect

from .pages import AdminPage
from .screens import hurdles

if TYPE_CHECKING:
    from collections.abc import Callable

    from playwright.sync_api import Page

    from .conftest import Stage
    from .visitor import Visitor

SCHEMES = ("light", "dark")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_two_admins_at_one_limit_hear_of_each_other(visit: Callable[..., Visitor], stage: Stage, scheme: str) -> None:
    user = f"nora-{scheme}"
    stage("set_up", {user: {"limit": "1"}})
    first, second = (AdminPage(visit("admin", color_scheme=scheme)) for _ in range(2))
    first.open_limit(user)
    second.open_limit(user)
    first.save_limit("2")
    expect(first.row(user)).to_contain_text("$2.00")

    second.page.get_by_label("Reason:").fill("it was asked for")
    second.save_limit("3")

    told = "admin has changed this while you had it open: Limit (USD): $1.00 → $2.00."
    expect(second.page.get_by_text(told)).to_be_visible()
    expect(second.page.get_by_text("It is $2.00 now.")).to_be_visible()
    expect(second.page.get_by_label("Limit (USD):", exact=True)).to_have_value("3")
    assert stage("tell", user)["limit"] == "2"

    second.page.get_by_role("button", name="Save", exact=True).click()
    expect(second.row(user)).to_contain_text("$3.00")
    assert stage("tell", user)["limit"] == "3"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_limit_is_removed_and_the_default_applies(visit: Callable[..., Visitor], stage: Stage, scheme: str) -> None:
    user = f"otto-{scheme}"
    stage("set_up", {user: {"limit": "0"}})
    default = stage("default_limit", None)
    admin = AdminPage(visit("admin", color_scheme=scheme))
    admin.open("userlimit")
    admin.choose(admin.row(user), "Remove override…")
    expect(admin.page.get_by_role("row", name=user)).to_contain_text(f"{default}, the default of the settings")

    admin.confirm(reason="the pilot is over")

    expect(admin.said).to_contain_text(f"1 limit was removed. From now on the default applies: {default} per day.")
    expect(admin.row(user)).to_have_count(0)
    assert f"${float(stage('tell', user)['limit']):.2f}" == default


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_model_that_was_refused_gets_a_price(visit: Callable[..., Visitor], stage: Stage, scheme: str) -> None:
    model = f"mystery-{scheme}"
    stage("set_up", {f"rosa-{scheme}": {"limit": "1"}})
    stage("charge", [{"user": f"rosa-{scheme}", "cost": "0.01", "model": model}])
    stage("ask_for", [model])
    admin = AdminPage(visit("admin", color_scheme=scheme))
    admin.open("modelprice")
    admin.page.get_by_role("link", name="Models in use").click()
    refused = admin.page.get_by_role("region", name="Asked for without a price").get_by_role("row", name=model)
    expect(refused).to_contain_text("none: calls are refused")

    refused.get_by_role("link", name="Set a price").click()
    expect(admin.page.get_by_label("Model:", exact=True)).to_have_value(model)
    admin.page.get_by_label("Input, USD per million tokens:", exact=True).fill("2.5")
    admin.page.get_by_label("Output, USD per million tokens:", exact=True).fill("10")
    admin.page.get_by_role("button", name="Save", exact=True).click()

    expect(admin.row(model)).to_contain_text("$2.50")
    admin.page.get_by_role("link", name="Models in use").click()
    used = admin.page.get_by_role("region", name="Used in the past 30 days").get_by_role("row", name=model)
    expect(used).to_contain_text("$0.01 own price $2.50 in, $10.00 out")


def test_prices_beside_litellms_are_whole_on_a_laptop(visit: Callable[..., Visitor], stage: Stage) -> None:
    stage("price", {"claude-sonnet-4-5": "30"})
    admin = AdminPage(visit("admin"))
    admin.page.set_viewport_size({"width": 1440, "height": 900})
    admin.page.add_init_script("localStorage.setItem('django.admin.navSidebarIsOpen', 'false')")
    admin.open("modelprice")
    expect(admin.row("claude-sonnet-4-5")).to_contain_text("litellm: $3.00, ours 10 times as much")

    assert admin.page.locator(".results").evaluate("(list) => list.scrollWidth <= list.clientWidth")


def choose_file(admin: AdminPage, text: str) -> None:
    admin.page.get_by_label("CSV file:").set_input_files(
        {"name": "limits.csv", "mimeType": "text/csv", "buffer": text.encode()}
    )
    admin.page.get_by_role("button", name="Look at it").click()


@pytest.mark.parametrize("scheme", SCHEMES)
def test_limits_are_taken_from_a_file(visit: Callable[..., Visitor], stage: Stage, scheme: str) -> None:
    user = f"=cmd-{scheme}<img src=x onerror=alert(1)>"
    stage("set_up", {user: {"limit": "1"}})
    admin = AdminPage(visit("admin", color_scheme=scheme))
    admin.open("userlimit")
    with admin.page.expect_download() as download:
        admin.page.get_by_role("link", name="Export as CSV").click()
    exported = download.value.path().read_text(encoding="utf-8-sig")
    assert f"user,'{user},day,1,,," in exported.splitlines()

    admin.page.get_by_role("link", name="Import CSV").click()
    choose_file(admin, f"user,period,amount_usd\n'{user},day,much\nnobody,day,1\n")
    wrong = admin.page.get_by_role("table", name="What is wrong").get_by_role("row")
    expect(wrong.nth(1)).to_contain_text("“much” is not an amount.")
    expect(wrong.nth(2)).to_contain_text("There is no user named “nobody”.")

    choose_file(admin, f"user,period,amount_usd,reason\n'{user},day,7.5,launch\n")
    expect(admin.page.get_by_role("row", name=user)).to_contain_text("$7.50")
    admin.page.get_by_role("button", name="Change limits").click()
    expect(admin.said).to_contain_text("1 limit was changed. It holds from the next call on.")
    assert stage("tell", user)["limit"] == "7.5"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_a_window_is_reset_and_its_user_goes_on(visit: Callable[..., Visitor], stage: Stage, scheme: str) -> None:
    user = f"rita-{scheme}"
    stage("set_up", {user: {"limit": "1"}})
    stage("charge", [{"user": user, "cost": "0.75", "project": "support", "charge_id": f"of-{user}"}])
    admin = AdminPage(visit("admin", color_scheme=scheme))
    admin.open("userlimit")
    admin.choose(admin.row(user), "Reset window…")
    expect(admin.page.get_by_role("row", name=user)).to_contain_text("$0.75")

    admin.confirm(reason="a loop of ours")

    expect(admin.said).to_contain_text("1 window was reset.")
    expect(admin.row(user)).to_contain_text("$0.00 of $1.00")
    admin.open("spendrecord")
    expect(admin.row(f"of-{user}")).to_contain_text("$0.75")
    expect(admin.row("$0.75 less counts per day").filter(has_text=user)).to_contain_text("adjustment")


# What every page of these must be for those who do not see it.


def conflict(admin: AdminPage, stage: Stage, user: str) -> Page:
    admin.open_limit(user)
    stage("change_limit", {user: "2"})
    admin.save_limit("3")
    return admin.page


def models(admin: AdminPage, stage: Stage, user: str) -> Page:
    stage("charge", [{"user": user, "cost": "0.01", "model": "gpt-4o"}])
    stage("ask_for", ["mystery"])
    admin.page.goto("/admin/coreason_budget/modelprice/models/")
    return admin.page


def price(admin: AdminPage, stage: Stage, user: str) -> Page:
    admin.page.goto(f"/admin/coreason_budget/modelprice/add/?model=gpt-4o-{user}")
    admin.page.get_by_label("Input, USD per million tokens:", exact=True).fill("2.5")
    admin.page.get_by_label("Output, USD per million tokens:", exact=True).fill("10")
    admin.page.get_by_role("button", name="Save and continue editing").click()
    expect(admin.page.get_by_text("litellm has no price of this model.")).to_be_visible()
    return admin.page


def mistakes(admin: AdminPage, stage: Stage, user: str) -> Page:
    admin.page.goto("/admin/coreason_budget/userlimit/import/")
    choose_file(admin, f"user,period,amount_usd\n{user},day,much\n")
    return admin.page


def foreseen(admin: AdminPage, stage: Stage, user: str) -> Page:
    admin.page.goto("/admin/coreason_budget/userlimit/import/")
    choose_file(admin, f"user,period,amount_usd\n{user},day,5\n")
    return admin.page


def reset(admin: AdminPage, stage: Stage, user: str) -> Page:
    stage("charge", [{"user": user, "cost": "0.5", "project": "support", "charge_id": f"of-{user}"}])
    admin.open("userlimit")
    admin.choose(admin.row(user), "Reset window…")
    return admin.page


SCENES = (reset, conflict, models, price, mistakes, foreseen)


@pytest.mark.parametrize("scene", SCENES, ids=lambda scene: scene.__name__)
def test_the_pages_keep_the_rules_for_accessible_pages(
    visit: Callable[..., Visitor], stage: Stage, scene: Callable[[AdminPage, Stage, str], Page]
) -> None:
    user = scene.__name__
    stage("set_up", {user: {"limit": "1"}})
    page = scene(AdminPage(visit("admin")), stage, user)
    page.wait_for_load_state()

    assert hurdles(page, "#content-main") == []
