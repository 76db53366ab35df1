"""“Block now” and “Boost for today”: confirmed first, all or none, and written into the history."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal

import pytest
from django.contrib.admin.models import CHANGE, LogEntry
from django.contrib.auth.models import User
from django.db.models.signals import post_save
from django.utils import timezone
from freezegun import freeze_time

from coreason_budget import BudgetExceededError, service
from coreason_budget.admin import confirmation
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)

pytestmark = pytest.mark.usefixtures("ledger")


@pytest.fixture
def utc(settings):
    settings.TIME_ZONE = "UTC"


@pytest.fixture
def apollo():
    return ProjectLimit.objects.create(project_id="apollo", amount_usd=10, reason="pilot")


@pytest.fixture
def gemini():
    end = timezone.now() + timedelta(days=3)
    return ProjectLimit.objects.create(project_id="gemini", amount_usd=5, boost_usd=50, boost_until=end)


def terms(limit):
    limit.refresh_from_db()
    return limit.amount_usd, limit.boost_usd, limit.boost_until


def history():
    return [entry.get_change_message() for entry in LogEntry.objects.order_by("pk")]


def test_the_list_asks_first_and_changes_nothing(boss, apollo, gemini, utc):
    before = terms(gemini)

    page = boss.act("projectlimit", "block_now", [apollo, gemini])

    assert page.root.one("h1").text == "Block now"
    assert page.foreseen == [
        ["apollo", "per day", "$10.00", "blocked"],
        ["gemini", "per day", f"$5.00, boosted to $50.00 until {before[2]:%Y-%m-%d %H:%M} UTC", "blocked"],
    ]
    assert terms(apollo)[0] == 10
    assert terms(gemini) == before
    assert history() == []


def test_the_page_of_confirmation_sends_itself(boss, apollo, gemini):
    """What a browser sends from the page, field by field, is what carries the action out."""
    page = boss.act("projectlimit", "block_now", [apollo, gemini])
    form = page.root.one("form", **{"aria-label": "Block now"})
    hidden = [(field.attributes["name"], field.attributes["value"]) for field in form.all("input", type="hidden")]

    data = {name: [value for key, value in hidden if key == name] for name, _ in hidden}
    answer = boss.post("projectlimit_changelist", **data, reason="overspent")

    assert answer.status_code == 200
    assert {limit.amount_usd for limit in ProjectLimit.objects.all()} == {0}


def test_block_now_sets_zero_and_ends_the_boost(boss, apollo, gemini, utc):
    end = gemini.boost_until

    page = boss.act("projectlimit", "block_now", [apollo, gemini], confirmed="yes", reason="overspent")

    assert terms(apollo) == terms(gemini) == (0, None, None)
    assert {apollo.reason, gemini.reason} == {"overspent"}
    assert page.messages == ["2 limits are blocked: from now on every call that they concern is refused."]
    assert history() == [
        "Block now: $10.00 → blocked. overspent",
        f"Block now: $5.00, boosted to $50.00 until {end:%Y-%m-%d %H:%M} UTC → blocked. overspent",
    ]
    assert {entry.user for entry in LogEntry.objects.all()} == {boss.user}
    assert {entry.action_flag for entry in LogEntry.objects.all()} == {CHANGE}
    with pytest.raises(BudgetExceededError):
        service.check("ann", "gemini")


def test_without_a_reason_the_old_one_stays(boss, apollo):
    boss.act("projectlimit", "block_now", [apollo], confirmed="yes", reason="")

    assert terms(apollo)[0] == 0
    assert apollo.reason == "pilot"


def test_what_is_blocked_already_is_left_alone(boss, apollo):
    zero = ProjectLimit.objects.create(project_id="zero", amount_usd=0)

    page = boss.act("projectlimit", "block_now", [apollo, zero])
    assert [row[-1] for row in page.foreseen] == ["blocked", "stays as it is"]

    page = boss.act("projectlimit", "block_now", [zero], confirmed="yes", reason="")
    assert page.messages == ["They were blocked already. Nothing was changed."]
    assert history() == []


def test_a_blocked_limit_with_a_boost_is_blocked_for_good(boss):
    lifted = GlobalLimit.objects.create(amount_usd=0, boost_usd=5, boost_until=timezone.now() + timedelta(hours=1))

    boss.act("globallimit", "block_now", [lifted], confirmed="yes", reason="")

    assert terms(lifted) == (0, None, None)


@pytest.mark.parametrize(
    ("zone", "end"),
    [
        ("UTC", datetime(2026, 11, 24, tzinfo=UTC)),
        ("Europe/Berlin", datetime(2026, 11, 23, 23, tzinfo=UTC)),
        ("Asia/Tokyo", datetime(2026, 11, 23, 15, tzinfo=UTC)),
        ("Pacific/Kiritimati", datetime(2026, 11, 24, 10, tzinfo=UTC)),
    ],
)
def test_a_boost_for_today_ends_with_the_day_of_the_budgets_time_zone(boss, apollo, settings, zone, end):
    settings.COREASON_BUDGET = {**settings.COREASON_BUDGET, "TIME_ZONE": zone}

    with freeze_time(NOON, ignore=["django.contrib.sessions"]):
        boss.client.force_login(boss.user)
        boss.act("projectlimit", "boost_today", [apollo], confirmed="yes", amount="20.5", reason="launch")

    assert terms(apollo) == (10, Decimal("20.5"), end)
    assert apollo.effective_usd(NOON) == Decimal("20.5")
    assert apollo.effective_usd(end) == 10


def test_the_page_asks_how_much_and_says_until_when(boss, apollo, utc):
    unlimited = ProjectLimit.objects.create(project_id="free", amount_usd=None)

    with freeze_time(NOON):
        boss.client.force_login(boss.user)
        page = boss.act("projectlimit", "boost_today", [apollo, unlimited])

    assert page.foreseen == [
        ["apollo", "per day", "$10.00", "boosted until 2026-11-24 00:00 UTC, then $10.00 again"],
        ["free", "per day", "unlimited", "stays as it is"],
    ]
    assert "until 2026-11-24 00:00 UTC, when today ends in the budget's time zone (UTC)" in page.root.text
    assert page.root.one("input", id="id_amount").attributes["name"] == "amount"


def test_a_boost_is_told(boss, apollo, utc):
    with freeze_time(NOON):
        boss.client.force_login(boss.user)
        page = boss.act("projectlimit", "boost_today", [apollo], confirmed="yes", amount="20", reason="launch")

    assert page.messages == ["1 limit is boosted until 2026-11-24 00:00 UTC."]
    assert history() == ["Boost for today: $10.00 → $10.00, boosted to $20.00 until 2026-11-24 00:00 UTC. launch"]


@pytest.mark.parametrize(
    ("amount", "said"),
    [
        ("", "This field is required."),
        ("ten", "“ten” is not an amount. Write it with digits and a point, such as 0.05."),
        ("10", "gemini, per week: a boost of $10.00 is no more than the limit of $12.00"),
        ("12", "gemini, per week: a boost of $12.00 is no more than the limit of $12.00"),
    ],
)
def test_a_boost_that_is_none_changes_nothing_at_all(boss, apollo, amount, said):
    gemini = ProjectLimit.objects.create(project_id="gemini", amount_usd=12, period="week")
    ProjectLimit.objects.filter(pk=apollo.pk).update(amount_usd=5)

    page = boss.act("projectlimit", "boost_today", [apollo, gemini], confirmed="yes", amount=amount, reason="")

    assert said in page.errors
    assert len(page.foreseen) == 2
    assert terms(apollo) == (5, None, None)
    assert history() == []


@pytest.mark.parametrize(
    ("boost", "until", "amount"),
    [("100", "2026-11-23T20:00Z", "50"), ("20", "2026-11-30T00:00Z", "50"), ("100", "2026-11-30T00:00Z", "20")],
)
def test_a_boost_for_today_takes_nothing_from_one_that_runs(boss, apollo, utc, boost, until, amount):
    running = (10, Decimal(boost), datetime.fromisoformat(until))
    ProjectLimit.objects.filter(pk=apollo.pk).update(boost_usd=boost, boost_until=until)
    with freeze_time(NOON):
        page = boss.act("projectlimit", "boost_today", [apollo], confirmed="yes", amount=amount, reason="")

    [error] = page.errors
    assert error.startswith(f"apollo, per day: a boost runs already ($10.00, boosted to ${boost}.00 until 2026-11-")
    assert terms(apollo) == running


def test_a_boost_that_has_ended_is_replaced(boss, apollo, utc):
    ProjectLimit.objects.filter(pk=apollo.pk).update(boost_usd=100, boost_until="2026-11-23T09:00Z")
    with freeze_time(NOON):
        boss.act("projectlimit", "boost_today", [apollo], confirmed="yes", amount="50", reason="")

    assert terms(apollo) == (10, 50, datetime(2026, 11, 24, tzinfo=UTC))


def test_what_is_unlimited_cannot_be_boosted(boss):
    unlimited = GlobalLimit.objects.create(amount_usd=None)

    page = boss.act("globallimit", "boost_today", [unlimited], confirmed="yes", amount="1", reason="")

    assert page.messages == ["They are unlimited. Nothing was changed."]
    assert terms(unlimited) == (None, None, None)


def test_the_limits_are_changed_all_or_none(boss, apollo, gemini):
    def fail(instance, **_):
        if instance.pk == gemini.pk:
            raise RuntimeError("the disk is full")

    before = terms(gemini)
    post_save.connect(fail, sender=ProjectLimit)
    try:
        with pytest.raises(RuntimeError):
            boss.act("projectlimit", "block_now", [apollo, gemini], confirmed="yes", reason="")
    finally:
        post_save.disconnect(fail, sender=ProjectLimit)

    assert terms(apollo) == (10, None, None)
    assert terms(gemini) == before
    assert history() == []


def test_limits_are_saved_one_by_one_so_that_signals_push_them(boss, apollo, gemini):
    saved = []

    def note(instance, **_):
        saved.append(instance.project_id)

    post_save.connect(note, sender=ProjectLimit)
    try:
        boss.act("projectlimit", "block_now", [apollo, gemini], confirmed="yes", reason="")
    finally:
        post_save.disconnect(note, sender=ProjectLimit)

    assert saved == ["apollo", "gemini"]


def test_the_limits_are_changed_as_they_are_and_not_as_the_page_said(boss, apollo):
    boss.act("projectlimit", "block_now", [apollo])
    ProjectLimit.objects.update(amount_usd=99)

    boss.act("projectlimit", "block_now", [apollo], confirmed="yes", reason="")

    assert history() == ["Block now: $99.00 → blocked."]


def test_a_limit_that_was_deleted_meanwhile_is_left_out(boss, apollo, gemini):
    boss.act("projectlimit", "block_now", [apollo, gemini])
    pk = apollo.pk
    apollo.delete()
    apollo.pk = pk

    boss.act("projectlimit", "block_now", [apollo, gemini], confirmed="yes", reason="")

    assert terms(gemini) == (0, None, None)


def test_an_address_alone_changes_nothing(boss, apollo):
    boss.client.get(
        "/admin/coreason_budget/projectlimit/",
        {"action": "block_now", "_selected_action": apollo.pk, "confirmed": "yes", "reason": ""},
    )

    assert terms(apollo) == (10, None, None)


def test_more_than_a_page_can_list_is_refused(boss, monkeypatch):
    monkeypatch.setattr(confirmation, "MAX_OBJECTS", 3)
    for number in range(4):
        ProjectLimit.objects.create(project_id=f"project-{number}", amount_usd=1)

    page = boss.act("projectlimit", "block_now", [ProjectLimit.objects.first()], select_across="1")

    assert page.messages == ["This is done with at most 3 objects at a time. Nothing was changed."]
    assert len(boss.act("projectlimit", "block_now", list(ProjectLimit.objects.all()[:3])).foreseen) == 3


# from the form of one limit


def test_the_form_of_a_limit_has_buttons_for_all(boss, apollo):
    page = boss.get("projectlimit_change", apollo.pk)

    assert page.tools == ["boost_today", "block_now", "remove_override", "reset_window"]
    for form in page.root.all("form", "budget-tool"):
        assert form.attributes["method"] == "post"
        assert form.attributes["action"] == "/admin/coreason_budget/projectlimit/"
        assert form.one("input", name="_selected_action").attributes["value"] == str(apollo.pk)
        assert form.one("input", name="csrfmiddlewaretoken")


def test_a_button_leads_back_to_the_form_that_it_is_on(boss, apollo):
    page = boss.act("projectlimit", "block_now", [apollo], origin="change_form")
    form_url = f"/admin/coreason_budget/projectlimit/{apollo.pk}/change/"
    assert page.root.one("a", "closelink").attributes["href"] == form_url
    assert page.root.one("input", name="origin").attributes["value"] == "change_form"

    done = boss.act("projectlimit", "block_now", [apollo], origin="change_form", confirmed="yes", reason="")

    assert done.response.redirect_chain == [(form_url, 302)]
    assert terms(apollo)[0] == 0


def test_the_way_back_from_the_list_keeps_its_filters(boss, apollo):
    answer = boss.post(
        "projectlimit_changelist",
        query="?period__exact=day",
        action="block_now",
        _selected_action=[apollo.pk],
        confirmed="yes",
        reason="",
    )

    assert answer.redirect_chain == [("/admin/coreason_budget/projectlimit/?period__exact=day", 302)]


# how often the database is asked


@pytest.mark.parametrize(("action", "queries"), [("block_now", 4), ("boost_today", 4), ("remove_override", 4)])
def test_asking_costs_the_same_for_any_number(boss, action, queries, django_assert_num_queries):
    limits = [
        UserLimit.objects.create(user=User.objects.create_user(f"user{number}"), amount_usd=1) for number in range(20)
    ]
    data = {"action": action, "index": "0", "_selected_action": [limit.pk for limit in limits]}

    with django_assert_num_queries(queries + 1):  # session, user, twice the number of limits, the limits
        answer = boss.post("userlimit_changelist", follow=False, **data)

    assert answer.status_code == 200


def test_doing_costs_two_queries_for_each(boss, django_assert_num_queries):
    limits = [
        UserLimit.objects.create(user=User.objects.create_user(f"user{number}"), amount_usd=1) for number in range(5)
    ]
    data = {"action": "block_now", "_selected_action": [limit.pk for limit in limits], "confirmed": "yes", "reason": ""}
    boss.post("userlimit_changelist", follow=False, **{**data, "_selected_action": [limits[0].pk]})
    limits = limits[1:]
    data["_selected_action"] = [limit.pk for limit in limits]

    # As to ask; then a savepoint and its end, the limits as they are, and to save and to log each.
    with django_assert_num_queries(5 + 3 + len(limits) * 2):
        answer = boss.post("userlimit_changelist", follow=False, **data)

    assert answer.status_code == 302
