"""The page of refused calls: the decision behind a reference, however it is typed, for those who may look."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from django.utils import timezone

from coreason_budget import ANONYMOUS, BudgetExceededError, service
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit
from coreason_budget.refusals.places import Place, placed
from coreason_budget.testing import override_limits

pytestmark = pytest.mark.usefixtures("ledger")

TURNED = "payroll\N{RIGHT-TO-LEFT OVERRIDE}fdp.exe"
MINUTE = r"\d{4}-\d\d-\d\d \d\d:\d\d [A-Z]+"
INSTANT = r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d [A-Z]+"
HOSTILE = "<svg onload=alert(1)>"


def refused(user, project=None, amount="2", *, view="shop.views.ask", path="/ask/"):
    """Have a call refused; return its reference once it is noted."""
    with placed(Place(lambda: view, path)), pytest.raises(BudgetExceededError) as caught:
        service.reserve(getattr(user, "pk", user), project, amount)
    assert service.manager().guard.refusals.flush(10)
    return caught.value.reference


def facts(page):
    """Return what the page says of the decision."""
    rows = page.root.one("section", "budget-decision").one("dl").all("div")
    return {row.one("dt").text: [each.text for each in row.all("dd")] for row in rows}


def main(page):
    """Return the page without the admin's own frame."""
    return page.root.one("div", id="content-main")


def listed(page):
    """Return the rows of the list, without their times."""
    rows = main(page).one("table").one("tbody").all("tr")
    return [[cell.text for cell in row.children if not isinstance(cell, str)] for row in rows]


def answer(page):
    return page.root.one("p", "budget-problem").text


# the decision --------------------------------------------------------------------------------------------------------


@override_limits(daily_user="1")
def test_the_decision_is_shown_to_the_nano_dollar(boss, ann):
    service.charge(ann.pk, "0.853456789", "search")
    service.reserve(ann.pk, "search", "0.1")
    reference = refused(ann, "search", "0.25")

    shown = facts(boss.get("refusals", reference=reference))

    assert shown["Reason"] == ["Not enough of the limit was left."]
    assert shown["Who asked"] == ["ann", "for the project search"]
    assert shown["Account without room"] == ["User: ann"]
    assert shown["Limit"] == ["$1.00 per day"]
    assert shown["Spent"] == ["$0.853456789"]
    assert shown["Held"] == ["$0.10"]
    assert shown["Left"] == ["$0.046543211"]
    assert shown["Asked for"] == ["$0.25"]
    assert shown["Asked in"] == ["shop.views.ask", "/ask/"]
    assert shown["Where the limit comes from"] == ["the setting COREASON_BUDGET['DAILY_USER_LIMIT_USD']"]
    assert re.fullmatch(INSTANT, shown["When"][0])
    assert re.fullmatch(MINUTE, shown["Resets"][0])


@pytest.mark.parametrize(
    ("limits", "spent", "held", "amount", "reason"),
    [
        ({"daily_user": "0"}, "", "", "0.1", "The account is blocked"),
        ({"daily_user": "1"}, "", "", "2", "The call may cost more than the whole limit"),
        ({"daily_user": "1"}, "", "0.9", "0.5", "What was left of the limit was held for other calls"),
        ({"daily_user": "1"}, "0.9", "", "0.5", "Not enough of the limit was left"),
    ],
)
def test_the_reason_is_said_in_a_sentence(boss, limits, spent, held, amount, reason):
    with override_limits(**limits):
        if spent:
            service.charge("7", spent)
        if held:
            service.reserve("7", amount=held)
        reference = refused("7", amount=amount)

        assert facts(boss.get("refusals", reference=reference))["Reason"][0].startswith(reason)


@override_limits(daily_user="1")
def test_it_is_found_however_it_is_typed(boss):
    reference = refused("7")
    signs = reference.replace("-", "")
    typed = [signs, signs.lower(), f"  {' '.join(signs)} ", signs.replace("0", "O").replace("1", "l")]

    for each in typed:
        assert boss.get("refusals", reference=each).root.one("h2", id="budget-decision").text == reference


def test_one_that_was_misheard_is_told_from_one_that_is_gone(boss):
    gone = "3KF-90T-VX1"
    page = boss.get("refusals", reference=gone.lower())
    assert answer(page) == (
        "Nothing is kept under 3KF-90T-VX1 any more, or yet. "
        "Refused calls are kept for 7 days, and never more than the latest 10,000 of them."
    )
    page = boss.get("refusals", reference="3KF-90T-VX7")
    assert answer(page).startswith("This is no reference. One has nine signs, such as 3KF-90T-VX1, of which the last")


@pytest.mark.parametrize(
    ("ttl", "kept", "said"),
    [
        (86_400 * 2, 7, "Refused calls are kept for 2 days, and never more than the latest 7 of them."),
        (86_400, 7, "Refused calls are kept for 24 hours, and never more than the latest 7 of them."),
        (60, 7, "Refused calls are kept for 1 minute, and never more than the latest 7 of them."),
        (60, 0, "No refused calls are kept here: REFUSALS_KEPT is 0."),
    ],
)
def test_it_says_how_long_they_are_kept(boss, settings, ttl, kept, said):
    settings.COREASON_BUDGET = {**settings.COREASON_BUDGET, "REFUSAL_TTL": ttl, "REFUSALS_KEPT": kept}

    assert said in boss.get("refusals").root.one("p", "help").text


def test_who_tried_again_and_again_is_one_entry(boss):
    with override_limits(daily_user="1"):
        references = {refused("7") for _ in range(3)}
        (reference,) = references
        page = boss.get("refusals", reference=reference)

    assert re.fullmatch(rf"3 times since {INSTANT}", facts(page)["When"][1])
    assert [row[-1] for row in listed(page)] == ["3"]


# where the limit comes from ------------------------------------------------------------------------------------------


def origin(page):
    return facts(page)["Where the limit comes from"]


def test_it_says_who_changed_the_limit_last(boss, ann):
    limit = UserLimit.objects.create(user=ann, amount_usd="5")
    form = {"user": ann.pk, "period": "day", "amount_usd": "1", "reason": "trial"}
    boss.post("userlimit_change", limit.pk, **form)
    reference = refused(ann)

    page = boss.get("refusals", reference=reference)

    said = origin(page)
    assert said[0] == "a limit of its own"
    assert re.fullmatch(rf"Last changed {MINUTE} by boss:", said[1])
    assert said[2] == "Limit (USD): $5.00 → $1.00; Reason: \N{EN DASH} → trial"
    (link,) = [each for each in page.root.all("a") if each.text == "a limit of its own"]
    assert link.attributes["href"] == reverse("admin:coreason_budget_userlimit_change", args=[limit.pk])


def test_a_limit_that_was_changed_on_the_users_own_page_counts_too(boss, ann):
    from django.contrib.admin.models import CHANGE, LogEntry
    from django.contrib.contenttypes.models import ContentType

    UserLimit.objects.create(user=ann, amount_usd="1")
    message = '[{"changed": {"name": "user limit", "object": "user ann: 1 USD / day", "fields": ["Limit (USD)"]}}]'
    kind = ContentType.objects.get_for_model(User)
    for text in (message, '[{"changed": {"fields": ["Email address"]}}]'):
        LogEntry.objects.create(
            user=boss.user, content_type=kind, object_id=ann.pk, action_flag=CHANGE, change_message=text
        )

    said = origin(boss.get("refusals", reference=refused(ann)))

    assert said[1].endswith("by boss:")
    assert said[2].startswith("Changed Limit (USD) for user limit")


def test_a_change_that_the_history_does_not_know_is_told_as_that(boss, ann):
    limit = UserLimit.objects.create(user=ann, amount_usd="5")
    boss.post("userlimit_change", limit.pk, user=ann.pk, period="day", amount_usd="4")
    UserLimit.objects.filter(pk=limit.pk).update(amount_usd="1", updated_at=timezone.now() + timedelta(hours=1))
    service.reset()
    reference = refused(ann)

    said = origin(boss.get("refusals", reference=reference))

    assert said[0] == "a limit of its own"
    assert re.fullmatch(rf"Last changed {MINUTE}; the history does not say by whom\.", said[1])


def test_a_limit_that_has_changed_since_is_told(boss, ann):
    UserLimit.objects.create(user=ann, amount_usd="1")
    reference = refused(ann)
    UserLimit.objects.update(amount_usd=None)
    assert "By now it is another: unlimited." in origin(boss.get("refusals", reference=reference))

    UserLimit.objects.all().delete()
    with override_limits(daily_user="7"):
        assert origin(boss.get("refusals", reference=reference)) == [
            "the setting COREASON_BUDGET['DAILY_USER_LIMIT_USD']",
            "By now it is another: $7.00.",
        ]


@pytest.mark.parametrize(
    ("limits", "who", "account", "name"),
    [
        ({"anonymous_daily": "1"}, ANONYMOUS, "User", "ANONYMOUS_DAILY_LIMIT_USD"),
        ({"daily_user": "1"}, ANONYMOUS, "User", "DAILY_USER_LIMIT_USD"),
        ({"monthly_user": "1"}, "7", "User: 7", "MONTHLY_USER_LIMIT_USD"),
        ({"weekly_project": "1"}, "7", "Project: search", "WEEKLY_PROJECT_LIMIT_USD"),
        ({"daily_global": "1"}, "7", "The whole site", "DAILY_GLOBAL_LIMIT_USD"),
    ],
)
def test_every_account_has_its_setting(boss, limits, who, account, name):
    with override_limits(**limits):
        shown = facts(boss.get("refusals", reference=refused(who, "search")))

    assert shown["Account without room"] == [account]
    assert shown["Where the limit comes from"] == [f"the setting COREASON_BUDGET['{name}']"]
    assert shown["Who asked"][0] == ("anonymous" if who is ANONYMOUS else "7")


@pytest.mark.parametrize(
    ("make", "project", "label", "model"),
    [
        (
            lambda: ProjectLimit.objects.create(project_id="search", amount_usd="1"),
            "search",
            "Project: search",
            "project",
        ),
        (lambda: GlobalLimit.objects.create(amount_usd="1"), None, "The whole site", "global"),
    ],
)
def test_accounts_lead_to_their_limits(boss, make, project, label, model):
    row = make()
    row.save()
    page = boss.get("refusals", reference=refused("7", project))

    links = {each.text: each.attributes["href"] for each in page.root.all("a")}
    assert links[label].split("?")[0] == reverse(f"admin:coreason_budget_{model}limit_changelist")
    assert links["a limit of its own"] == reverse(f"admin:coreason_budget_{model}limit_change", args=[row.pk])
    for url in (links[label], links["7"]):
        assert boss.client.get(url).status_code == 200


# the list ------------------------------------------------------------------------------------------------------------


@override_limits(daily_user="1", daily_project="0.5")
def test_the_latest_are_listed(boss, ann):
    first = refused(ann, None, "2")
    second = refused("7", "search", "0.75")

    page = boss.get("refusals")

    assert [[*row[:1], *row[2:]] for row in listed(page)] == [
        [second, "7", "search", "Project per day", "larger than the limit", "$0.75", "1"],
        [first, "ann", "\N{EN DASH}", "User per day", "larger than the limit", "$2.00", "1"],
    ]
    (link,) = [each for each in page.root.all("a") if each.text == second]
    assert link.attributes["href"] == f"?reference={second}"


def test_nothing_refused_is_said(boss):
    assert boss.get("refusals").root.one("p", "budget-empty").text == "No call was refused."


@override_limits(daily_user="0")
def test_it_asks_a_fixed_number_of_times(boss, ann, asked):
    def cost():
        reference = refused(ann)
        boss.get("refusals", reference=reference)  # content types are kept from then on
        asked.clear()
        with CaptureQueriesContext(connection) as queries:
            boss.get("refusals", reference=reference)
        return len(queries), list(asked)

    UserLimit.objects.create(user=ann, amount_usd="0")
    few = cost()
    for number in range(60):
        refused(User.objects.create(username=f"user-{number}"), f"project-{number}")
    many = cost()

    assert few == many
    assert many[1] == ["ZREVRANGE", "HMGET", "HGET"]
    assert len(listed(boss.get("refusals"))) == 50


@override_limits(daily_user="0")
def test_hostile_names_are_shown_as_they_are(boss):
    user = User.objects.create(username=HOSTILE)
    UserLimit.objects.create(user=user, amount_usd="0")
    reference = refused(user, TURNED, view=HOSTILE, path="/\N{RIGHT-TO-LEFT OVERRIDE}<script>")

    page = boss.get("refusals", reference=reference)

    assert page.inline_code == []
    assert HOSTILE not in page.html
    assert facts(page)["Who asked"] == [HOSTILE, "for the project payroll⟨U+202E⟩fdp.exe"]
    assert facts(page)["Asked in"] == [HOSTILE, "/⟨U+202E⟩<script>"]
    page = boss.get("refusals", reference='"><script>alert(1)</script>')
    assert page.inline_code == []
    assert page.root.one("input", id="budget-reference").attributes["value"] == '"><script>alert(1)</script>'


def test_it_is_in_the_language_of_the_reader(boss, settings):
    settings.LANGUAGE_CODE = "de"

    with override_limits(daily_user="1"):  # inside of what the fixture sets, which is taken back later
        page = boss.get("refusals", reference=refused("7"))

    assert "Warum Aufrufe abgelehnt wurden" in page.html
    assert facts(page)["Grund"] == ["Der Aufruf kann mehr kosten als das ganze Limit. Warten hilft nicht."]
    assert [row[5] for row in listed(page)] == ["größer als das Limit"]


# who may, and when Redis is down -------------------------------------------------------------------------------------


@override_limits(daily_user="0.98765")
def test_staff_without_permission_gets_nothing(staff):
    reference = refused("7")
    page = staff("view_userlimit").get("refusals", status=403, reference=reference)
    assert "98765" not in page.html
    assert reference not in page.html

    anybody = Client().get(reverse("admin:coreason_budget_refusals"), {"reference": reference})
    assert (anybody.status_code, anybody.headers["Location"].split("?")[0]) == (302, "/admin/login/")


def test_who_may_see_no_limits_is_not_told_who_changed_them(staff, boss, ann):
    limit = UserLimit.objects.create(user=ann, amount_usd="5")
    boss.post("userlimit_change", limit.pk, user=ann.pk, period="day", amount_usd="1")
    reference = refused(ann)

    page = staff("view_spendrecord").get("refusals", reference=reference)

    assert origin(page) == ["Only those who may see limits are told."]
    assert "boss" not in page.html
    assert not [each for each in page.root.all("a") if "limit" in each.attributes.get("href", "")]


def test_the_pages_of_the_app_lead_to_it(staff, boss):
    url = reverse("admin:coreason_budget_refusals")
    index = reverse("admin:app_list", args=["coreason_budget"])

    assert f'href="{url}"' in staff("view_spendrecord", name="auditor").client.get(index).content.decode()
    assert f'href="{url}"' not in staff("view_userlimit", name="other").client.get(index).content.decode()


def test_without_redis_it_says_so(boss, redis_down):
    page = boss.get("refusals", reference="3KF-90T-VX1")

    assert answer(page).startswith("Why calls were refused is unknown at the moment: Redis cannot be used")
    assert not list(main(page).all("table"))
