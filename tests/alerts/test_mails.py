"""Alerts as those who pay get them: which are mailed, once, to whom and how many; and what they cost nobody."""

from __future__ import annotations

import threading
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest
from django.contrib.auth import get_user_model
from django.core import mail
from django.core.cache import caches
from django.core.mail.backends.base import BaseEmailBackend
from django.urls import reverse
from django.utils import timezone

from coreason_budget import ANONYMOUS, BudgetExceededError, RunExhaustedError, budget_exceeded, service
from coreason_budget.alerts import mails, messages
from coreason_budget.exceptions import Refusal
from coreason_budget.models import ProjectLimit

from ..admin.pages import Page
from ..conftest import fake_backend

if TYPE_CHECKING:
    from collections.abc import Callable

    from django.test import Client
    from pytest_django import Settings

    from ..conftest import Driver

pytestmark = pytest.mark.django_db(transaction=True)

TO = ["Finance@example.com"]


@pytest.fixture
def configure(settings: Settings) -> Callable[..., None]:
    """Set up a budget whose alerts are mailed: ``configure(ALERT_SCOPES=["user"])``."""
    settings.CACHES = {**settings.CACHES, "default": fake_backend().alias}

    def use(**values: Any) -> None:
        settings.COREASON_BUDGET = {
            "LOG_PATH": "",
            "DAILY_USER_LIMIT_USD": "1",
            "DAILY_PROJECT_LIMIT_USD": "10",
            "DAILY_GLOBAL_LIMIT_USD": "100",
            "ALERT_RECIPIENTS": TO,
            **values,
        }

    use()
    return use


def sent() -> list[str]:
    assert mails.flush(10)
    return [str(message.subject) for message in mail.outbox]


def test_a_passed_threshold_is_mailed_once_from_80_percent_on(configure: Any, driver: Driver) -> None:
    budget = service.manager()
    for user in ("ann", "bob", "cy"):
        driver(budget, "charge", user, project_id="search", cost="3")
    assert sent() == ["[Django] 80 % of the LLM budget per day is used: project search"]
    assert mail.outbox[0].to == TO
    assert "80 % of the budget per day for LLM calls is used: project search." in mail.outbox[0].body
    assert "Limit: $10.00\nSpent: $9.00\nHeld for calls under way: $0.00\nResets at: " in mail.outbox[0].body
    assert " UTC\n" in mail.outbox[0].body

    driver(budget, "charge", "dee", project_id="search", cost="1")
    assert sent()[1:] == ["[Django] 100 % of the LLM budget per day is used: project search"]


def test_the_first_refusal_of_a_window_is_mailed_and_no_other(configure: Any, driver: Driver) -> None:
    budget = service.manager()
    driver(budget, "charge", "ann", project_id="search", cost="7.99")
    for user in ("bob", "cy"):
        with pytest.raises(BudgetExceededError):
            driver(budget, "reserve", user, "search", amount="2.02")
    assert sent() == []  # it was more than all that a user has, and users are not mailed about
    configure(DAILY_USER_LIMIT_USD=None)
    budget = service.manager()
    for user in ("bob", "cy"):
        with pytest.raises(BudgetExceededError):
            driver(budget, "reserve", user, "search", amount="2.02")
    assert sent() == ["[Django] LLM calls are refused, the budget per day does not cover them: project search"]
    assert "A call that asked for $2.02 was refused" in mail.outbox[0].body


def test_a_blocked_account_is_told_as_that(configure: Any) -> None:
    ProjectLimit.objects.create(project_id="search", period="day", amount_usd=0)
    with pytest.raises(BudgetExceededError):
        service.reserve("ann", "search", amount="0.01")
    assert sent() == ["[Django] LLM calls are blocked: project search"]
    assert "refused because the limit per day is 0: project search." in mail.outbox[0].body


def test_a_user_is_told_by_name_and_visitors_as_visitors(configure: Any) -> None:
    configure(ALERT_SCOPES="user")
    ann = get_user_model().objects.create_user("ann@example.com\nBcc: all")
    service.charge(ann.pk, cost="1")
    service.charge("no-such-user", cost="0.85")
    service.charge(ANONYMOUS, cost="0.85")
    assert sent() == [
        f"[Django] 80 % of the LLM budget per day is used: user ann@example.com Bcc: all ({ann.pk})",
        f"[Django] 100 % of the LLM budget per day is used: user ann@example.com Bcc: all ({ann.pk})",
        "[Django] 80 % of the LLM budget per day is used: user no-such-user",
        "[Django] 80 % of the LLM budget per day is used: visitors who are not logged in",
    ]


def test_names_are_plain_text(configure: Any) -> None:
    service.charge("ann", project_id="<b>&'ö", cost="8")
    assert sent() == ["[Django] 80 % of the LLM budget per day is used: project <b>&'ö"]
    assert "<b>&'ö" in mail.outbox[0].body


def test_a_mail_is_in_the_language_of_the_site(configure: Any, settings: Settings) -> None:
    settings.LANGUAGE_CODE = "de"
    service.charge("ann", project_id="search", cost="8")
    assert sent() == ["[Django] 80 % des LLM-Budgets pro Tag sind verbraucht: Projekt search"]
    assert "Limit: 10,00\xa0$\nAusgegeben: 8,00\xa0$\n" in mail.outbox[0].body


def test_lower_thresholds_are_mailed_where_that_is_wanted(configure: Any) -> None:
    configure(ALERT_FROM_PERCENT=50)
    service.charge("ann", project_id="search", cost="5")
    assert sent() == ["[Django] 50 % of the LLM budget per day is used: project search"]


def test_an_alert_that_another_process_has_mailed_is_not_mailed_again(configure: Any) -> None:
    configure(DAILY_USER_LIMIT_USD="1000", ALERT_SCOPES="global")
    error = _refusal()
    for _ in range(2):  # as after a loss of Redis' data: the ledger cannot know that it told of it
        budget_exceeded.send_robust(None, error=error, first=True)
    assert len(sent()) == 1


@pytest.mark.parametrize("thresholds", [(80, 100), ()])
def test_what_was_mailed_before_a_reset_is_mailed_again(configure: Any, admin_client: Client, thresholds: Any) -> None:
    configure(THRESHOLDS=thresholds, DAILY_USER_LIMIT_USD=None)
    limit = ProjectLimit.objects.create(project_id="search", period="day", amount_usd=10)
    for number in (1, 2):
        service.charge("ann", project_id="search", cost="8")
        for _ in range(2):
            with pytest.raises(BudgetExceededError):
                service.reserve("ann", "search", amount="3")
        told = ["[Django] 80 % of the LLM budget per day is used: project search"] if thresholds else []
        told += ["[Django] LLM calls are refused, the budget per day does not cover them: project search"]
        assert sent() == told * number
        _reset(admin_client, limit)
        assert mails.flush(10)


def test_without_the_cache_a_reset_is_made_all_the_same(
    configure: Any, admin_client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    limit = ProjectLimit.objects.create(project_id="search", period="day", amount_usd=10)
    service.charge("ann", project_id="search", cost="8")
    assert len(sent()) == 1

    def fail(self: Any, keys: Any, version: Any = None) -> None:
        raise ConnectionError("nobody listens")

    monkeypatch.setattr(type(caches["default"]), "delete_many", fail)
    _reset(admin_client, limit)

    assert mails.flush(10)
    assert "The cache that keeps alerts from being mailed twice cannot be used: nobody listens" in caplog.text
    assert [item.spent for item in service.status("ann", "search") if item.scope == "project"] == [0]


def _reset(client: Client, limit: ProjectLimit) -> None:
    url = reverse("admin:coreason_budget_projectlimit_changelist")
    chosen = {"action": "reset_window", "_selected_action": [limit.pk]}
    page = Page(client.post(url, {**chosen, "index": "0"}))
    seen = page.root.one("input", name="seen").attributes["value"]
    answer = client.post(url, {**chosen, "confirmed": "yes", "seen": seen, "amount": "0", "reason": "a wild loop"})
    assert answer.status_code == 302


def test_there_is_no_storm(configure: Any, caplog: pytest.LogCaptureFixture) -> None:
    configure(ALERT_MAX_PER_HOUR=2)
    for number in range(5):
        service.charge("ann", project_id=f"project-{number}", cost="8")
    assert sent() == [
        "[Django] 80 % of the LLM budget per day is used: project project-0",
        "[Django] 80 % of the LLM budget per day is used: project project-1",
        "[Django] More LLM budget alerts than are mailed in an hour",
    ]
    assert "More than 2 alerts" in mail.outbox[2].body
    withheld = [record.message for record in caplog.records if record.message.startswith("Not mailed")]
    assert len(withheld) == 3
    assert "project-2" in withheld[0]


def test_a_cache_that_fails_withholds_no_alert(configure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCache:
        def add(self, *_: object) -> None:
            raise ConnectionError("no cache")

    monkeypatch.setattr(mails, "caches", {"default": NoCache()})
    service.charge("ann", "8", "search")
    assert len(sent()) == 1


def test_a_run_that_has_used_up_its_own_amount_is_not_mailed(configure: Any) -> None:
    amount = Decimal("0.5")
    refusal = Refusal("run", "ann", "run", amount, amount, Decimal(0), amount, timezone.now(), None, first=True)
    budget_exceeded.send_robust(None, error=RunExhaustedError(refusal), first=True)
    assert sent() == []


def test_django_names_the_recipients(configure: Any, settings: Settings) -> None:
    configure(ALERT_RECIPIENTS="managers, ops@example.com, admins")
    settings.MANAGERS = [("Mia", "mia@example.com")]
    settings.ADMINS = ["ops@example.com", "ada@example.com"]
    service.charge("ann", project_id="search", cost="8")
    sent()
    assert mail.outbox[0].to == ["mia@example.com", "ops@example.com", "ada@example.com"]


def test_nobody_waits_for_the_mail_server(configure: Any, send_by: Callable[[str], None]) -> None:
    send_by(f"{__name__}.{SlowBackend.__name__}")
    service.charge("ann", project_id="search", cost="8")
    assert not mails.flush(0)
    SlowBackend.go_on.set()
    assert mails.flush(10)
    assert SlowBackend.delivered == 1


def test_nobody_waits_for_the_cache(configure: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on = threading.Event()

    class SlowCache:
        def add(self, *_: object) -> bool:
            return go_on.wait(10)

        def incr(self, _: object) -> int:
            return 1

    monkeypatch.setattr(mails, "caches", {"default": SlowCache()})
    service.charge("ann", "8", "search")
    assert not mails.flush(0)
    go_on.set()
    assert len(sent()) == 1


def test_a_template_that_fails_is_in_the_log(
    configure: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(messages, "render_to_string", lambda *_: 1 / 0)
    service.charge("ann", "8", "search")
    assert sent() == []
    assert "Not mailed: Alert(kind='threshold', subject=Subject(scope=<Scope.PROJECT: 'project'>, id='search')" in (
        caplog.text
    )
    assert "(ZeroDivisionError: division by zero)" in caplog.text


class SlowBackend(BaseEmailBackend):
    """A mail server that takes its time."""

    go_on = threading.Event()
    delivered = 0

    def send_messages(self, email_messages: Any) -> int:
        self.go_on.wait(10)
        SlowBackend.delivered += len(email_messages)
        return len(email_messages)


def test_a_mail_server_that_fails_is_in_the_log(
    configure: Any, send_by: Callable[[str], None], caplog: pytest.LogCaptureFixture
) -> None:
    send_by(f"{__name__}.{FailingBackend.__name__}")
    service.charge("ann", project_id="search", cost="8")
    assert mails.flush(10)
    assert "Not mailed: [Django] 80 % of the LLM budget per day is used: project search (OSError: full)" in caplog.text


class FailingBackend(BaseEmailBackend):
    """A mail server that takes nothing."""

    def send_messages(self, email_messages: Any) -> int:
        raise OSError("full")


def test_without_recipients_nothing_listens(configure: Any) -> None:
    configure(ALERT_RECIPIENTS=())
    assert mails.mail_first_refusal not in budget_exceeded._live_receivers(None)[0]
    configure()
    assert mails.mail_first_refusal in budget_exceeded._live_receivers(None)[0]


def _refusal() -> BudgetExceededError:
    with pytest.raises(BudgetExceededError) as caught:
        service.reserve(ANONYMOUS, amount="500")
    return caught.value
