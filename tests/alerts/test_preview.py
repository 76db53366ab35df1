"""``manage.py budget_alert_preview``: what it prints, and that it sends only when it is told to."""

from __future__ import annotations

from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core import mail
from django.core.management import call_command
from django.core.management.base import CommandError

if TYPE_CHECKING:
    from pytest_django import Settings


def preview(*arguments: str) -> str:
    out = StringIO()
    call_command("budget_alert_preview", *arguments, stdout=out, no_color=True)
    return out.getvalue()


def configure(settings: Settings, **values: object) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "REDIS_URL": "redis://127.0.0.1:1/0", **values}


def test_it_prints_every_mail_and_who_gets_it_and_sends_nothing(settings: Settings) -> None:
    configure(settings, ALERT_RECIPIENTS=["ann@example.com", "bob@example.com"])
    printed = preview()
    assert printed.startswith(
        "Recipients: ann@example.com, bob@example.com\n"
        "Accounts: global, project\n"
        "Thresholds: 80 %, 100 %\n"
        "At most 20 in an hour, each once for its account and window.\n"
    )
    assert [line for line in printed.splitlines() if line.startswith("Subject: ")] == [
        "Subject: [Django] 80 % of the LLM budget per day is used: the whole site",
        "Subject: [Django] 100 % of the LLM budget per day is used: the whole site",
        "Subject: [Django] LLM calls are refused, the budget per day does not cover them: project search",
        "Subject: [Django] More LLM budget alerts than are mailed in an hour",
    ]
    assert "Limit: $10.00\nSpent: $8.00\n" in printed
    assert mail.outbox == []


def test_it_sends_them_when_it_is_told_to(settings: Settings) -> None:
    configure(settings, ALERT_RECIPIENTS=["ann@example.com"], ALERT_FROM_PERCENT=100)
    assert preview("--send").endswith("Sent to ann@example.com.\n")
    assert [message.to for message in mail.outbox] == [["ann@example.com"]] * 3


def test_it_says_that_nobody_gets_alerts(settings: Settings) -> None:
    configure(settings)
    assert preview().startswith("Recipients: nobody (ALERT_RECIPIENTS is empty), so no alert is mailed\n")
    with pytest.raises(CommandError, match="set COREASON_BUDGET\\['ALERT_RECIPIENTS'\\]"):
        preview("--send")
    assert mail.outbox == []
