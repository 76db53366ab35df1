"""What ``manage.py budget_doctor`` finds in the ledger and the database."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from io import StringIO
from typing import TYPE_CHECKING

import pytest
from django.core.management import call_command
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.utils import timezone

from coreason_budget import service
from coreason_budget.models import SpendRecord

from .examination import examine

if TYPE_CHECKING:
    from pytest_django import Settings

    from ..conftest import Backend

pytestmark = pytest.mark.django_db(transaction=True)


def test_a_journal_that_nobody_drains_is_warned_of(backend: Backend) -> None:
    with backend.client() as client:
        client.xadd("{coreason-budget}:journal", {"c": "1"}, id=f"{(int(time.time()) - 600) * 1000}-0")

    _, found = examine()

    assert found["journal"][0] == "warning"
    assert found["journal"][1].startswith("1 charge waits in the journal, the oldest for 60")
    assert "budget_drain" in found["journal"][2]


def test_young_entries_are_no_trouble(backend: Backend) -> None:
    with backend.client() as client:
        client.xadd("{coreason-budget}:journal", {"c": "1"})

    assert examine()[1]["journal"][0] == "ok"


def test_a_full_journal_is_an_error(backend: Backend, settings: Settings) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "JOURNAL_MAX_LENGTH": 100}
    with backend.client() as client:
        for _ in range(100):
            client.xadd("{coreason-budget}:journal", {"c": "1"})

    code, found = examine()

    assert (code, found["journal"][0]) == (1, "error")
    assert found["journal"][1].endswith("It is full: calls are refused.")


def test_it_says_how_far_the_journal_was_drained(backend: Backend, settings: Settings) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "TIME_ZONE": "Asia/Kathmandu"}
    assert "drained" not in examine()[1]
    for number, journal_id in ((1, None), (2, 1_790_000_000_123 << 20), (3, 1_780_000_000_000 << 20)):
        SpendRecord.objects.create(
            charge_id=f"c{number}", journal_id=journal_id, cost_nanos=1, at=datetime(2026, 9, 21, tzinfo=UTC)
        )

    level, what, _ = examine()[1]["drained"]

    assert level == "ok"
    assert what == "The last entry that was drained was booked at 2026-09-21 19:58:20 +0545."


@pytest.mark.parametrize(("seconds", "level"), [(60, "info"), (900, "warning")])
def test_overdue_holds_are_found(backend: Backend, seconds: int, level: str) -> None:
    now = int(time.time() * 1000)
    with backend.client() as client:
        client.zadd("{coreason-budget}:deadlines", {"due": now - seconds * 1000, "young": now + 600_000})

    _, found = examine()

    assert found["holds"][0] == level
    assert found["holds"][1].startswith("1 hold is past its deadline, the first by ")


@pytest.mark.usefixtures("backend")
def test_the_last_proof_of_the_site_is_told_once_there_was_one() -> None:
    assert "verified" not in examine()[1]

    service.charge("ann", "0.25")

    level, what, _ = examine()[1]["verified"]
    assert (level, what) == ("ok", "The site's account was proved against the database 0 s ago and was right.")


def test_a_proof_that_had_to_correct_the_site_is_a_warning(backend: Backend) -> None:
    service.charge("ann", "0.25")
    service.status("ann")
    with backend.client() as client:
        client.hincrby("{coreason-budget}:a:global:", "sd", 1_500_000_000)
    with pytest.raises(SystemExit):
        call_command("budget_reconcile", stdout=StringIO())

    level, what, remedy = examine()[1]["verified"]

    assert level == "warning"
    assert what.endswith(" ago and was corrected by -1.5 USD (day).")
    assert "budget_reconcile" in remedy


@pytest.mark.usefixtures("backend")
def test_uncounted_records_are_found() -> None:
    SpendRecord.objects.create(charge_id="1", user_id="ann", cost_nanos=1, at=timezone.now())

    assert examine()[1]["uncounted"][:2] == (
        "info",
        "1 record was written while Redis was down and is not counted there yet.",
    )


@pytest.mark.usefixtures("backend")
def test_a_migration_that_is_not_applied_is_an_error() -> None:
    recorder = MigrationRecorder(connection)
    newest = max(name for app, name in recorder.applied_migrations() if app == "coreason_budget")
    recorder.record_unapplied("coreason_budget", newest)
    try:
        code, found = examine()
    finally:
        recorder.record_applied("coreason_budget", newest)

    assert code == 1
    assert found["migrations"] == (
        "error",
        f"Not applied to 'default': {newest}.",
        "Run manage.py migrate coreason_budget --database default.",
    )
    assert "uncounted" not in found


@pytest.mark.usefixtures("backend")
def test_a_database_that_does_not_answer_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    from django.db import OperationalError

    def fail(_: str) -> list[str]:
        raise OperationalError("no such server")

    monkeypatch.setattr("coreason_budget.management.doctor._unapplied", fail)

    code, found = examine()

    assert code == 1
    assert found["database"][:2] == ("error", "The database cannot be used: OperationalError: no such server")
