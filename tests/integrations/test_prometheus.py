"""The metrics as Prometheus scrapes them, by the real client."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from coreason_budget import BudgetExceededError, BudgetUnavailableError, service, signals
from coreason_budget.integrations import prometheus

from ..conftest import fake_backend

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import Settings

    from ..conftest import Driver

pytestmark = pytest.mark.django_db(transaction=True)

DOCS = Path(__file__).parents[2] / "docs"
LISTENED_TO = (
    signals.spend_recorded,
    signals.budget_exceeded,
    signals.budget_threshold_reached,
    signals.budget_unavailable,
)


@pytest.fixture
def registry(settings: Settings) -> Iterator[CollectorRegistry]:
    settings.CACHES = {**settings.CACHES, "default": fake_backend().alias}
    settings.COREASON_BUDGET = {
        "LOG_PATH": "",
        "DAILY_USER_LIMIT_USD": "1",
        "DAILY_PROJECT_LIMIT_USD": "4",
        "DAILY_GLOBAL_LIMIT_USD": "10",
        "MONTHLY_GLOBAL_LIMIT_USD": "unlimited",
    }
    made = CollectorRegistry()
    prometheus.connect(made, projects=["search", "search"], models=2)
    yield made
    for signal in LISTENED_TO:
        signal.disconnect(dispatch_uid=("coreason_budget.prometheus", id(made)))


def scraped(registry: CollectorRegistry) -> dict[str, float]:
    """Return the value of each time series of ours, by its name and labels; times when they were made left out."""
    lines = [line for line in generate_latest(registry).decode().splitlines() if line.startswith("coreason_budget_")]
    pairs = (line.rsplit(" ", 1) for line in lines if "_created" not in line)
    return {name.removeprefix("coreason_budget_"): float(value) for name, value in pairs}


def test_the_accounts_are_shown_as_they_stand(registry: CollectorRegistry, driver: Driver) -> None:
    driver(service.manager(), "charge", "ann", "1.5", "search", "gpt-4o")
    driver(service.manager(), "reserve", "bob", "other", amount="0.25")
    service.flush(10)
    found = scraped(registry)
    assert found.pop("redis_answer_seconds") > 0
    project, site = 'scope="project",subject="search"', 'scope="global",subject=""'
    assert {name: value for name, value in found.items() if "_total" not in name} == {
        "up": 1,
        f'spent_usd{{period="day",{project}}}': 1.5,
        f'held_usd{{period="day",{project}}}': 0,
        f'limit_usd{{period="day",{project}}}': 4,
        f'remaining_ratio{{period="day",{project}}}': 0.625,
        f'spent_usd{{period="day",{site}}}': 1.5,
        f'held_usd{{period="day",{site}}}': 0.25,
        f'limit_usd{{period="day",{site}}}': 10,
        f'remaining_ratio{{period="day",{site}}}': 0.825,
        "open_holds": 1,
        "journal_entries": 0,
    }


def test_what_the_process_does_is_counted(registry: CollectorRegistry, driver: Driver) -> None:
    budget = service.manager()
    driver(budget, "charge", "ann", "0.50", None, "gpt-4o", "one")
    driver(budget, "charge", "ann", "0.25", None, "gpt-4o")
    driver(budget, "charge", "ann", "0.05")
    driver(budget, "charge", "ann", "0.125", None, "claude")
    driver(budget, "charge", "ann", "0.001", None, "llama")
    driver(budget, "refund", "one", "0.10")
    for _ in range(2):
        with pytest.raises(BudgetExceededError):
            driver(budget, "reserve", "ann", amount="0.9")
    found = {name: value for name, value in scraped(registry).items() if "_total" in name}
    assert found == {
        'charges_total{model="gpt-4o"}': 2,
        'charges_total{model=""}': 1,
        'charges_total{model="other"}': 2,
        'charged_usd_total{model="gpt-4o"}': 0.75,
        'charged_usd_total{model=""}': 0.05,
        'charged_usd_total{model="other"}': 0.126,
        "refunded_usd_total": 0.1,
        'refusals_total{period="day",scope="user"}': 2,
        'thresholds_total{percent="50",scope="user"}': 1,
        'thresholds_total{percent="80",scope="user"}': 1,
    }


def test_a_budget_that_cannot_be_checked_is_down(registry: CollectorRegistry, settings: Settings) -> None:
    settings.COREASON_BUDGET = {"LOG_PATH": "", "REDIS_URL": "redis://127.0.0.1:1/0"}
    with pytest.raises(BudgetUnavailableError):
        service.reserve("ann")
    found = scraped(registry)
    assert {name: value for name, value in found.items() if "_total{" in name or "_total" not in name} == {
        "up": 0,
        'unavailable_total{operation="reserve"}': 1,
        'unavailable_total{operation="status"}': 1,  # the scrape itself
    }


def test_a_blocked_account_has_nothing_left(registry: CollectorRegistry, settings: Settings) -> None:
    settings.COREASON_BUDGET = {**settings.COREASON_BUDGET, "DAILY_GLOBAL_LIMIT_USD": "0"}
    found = scraped(registry)
    assert found['remaining_ratio{period="day",scope="global",subject=""}'] == 0
    assert found['limit_usd{period="day",scope="global",subject=""}'] == 0


def test_a_registry_takes_them_once(registry: CollectorRegistry) -> None:
    with pytest.raises(ValueError, match="Duplicated timeseries"):
        prometheus.connect(registry)


def test_the_dashboard_and_the_docs_name_the_metrics_that_there_are(registry: CollectorRegistry) -> None:
    offered = {
        line.split(" ")[2] for line in generate_latest(registry).decode().splitlines() if line.startswith("# TYPE")
    } - {"coreason_budget_refunded_usd_created"}
    named = re.compile(r"coreason_budget_[a-z_]+[a-z]")
    in_docs = set(named.findall((DOCS / "metrics.md").read_text()))
    panels = json.loads((DOCS / "grafana-dashboard.json").read_text())["panels"]
    in_dashboard = {name for panel in panels for target in panel["targets"] for name in named.findall(target["expr"])}
    assert in_docs == offered
    assert in_dashboard < offered
    assert offered - in_dashboard == {"coreason_budget_refunded_usd_total", "coreason_budget_thresholds_total"}
