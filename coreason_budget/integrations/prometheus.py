"""
Metrics for Prometheus: how the budget stands, read at each scrape, and what this process has charged and refused.

Figures are floats, as Prometheus knows nothing else: to watch, not to account with.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from .. import service, signals
from ..exceptions import BudgetUnavailableError
from ..ledger.steps import Command
from ..scopes import GLOBAL, Scope, Subject, clean_id

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from prometheus_client import Metric

    from ..exceptions import BudgetExceededError
    from ..ledger.redis import RedisLedger
    from ..ledger.steps import Operation
    from ..manager import BudgetManager
    from ..results import AccountStatus, Receipt

__all__ = ["BudgetCollector", "connect"]

OTHER: Final = "other"
_UID: Final = "coreason_budget.prometheus"


def connect(registry: CollectorRegistry = REGISTRY, *, projects: Iterable[str] = (), models: int = 100) -> None:
    """
    Give a registry the metrics of the budget. Call it once, in the ``ready()`` of an app of yours.

    ``projects`` are those whose accounts are shown beside the site's; ``models`` is how many names of models this
    process tells apart, the others are counted as ``other``. So the number of time series is bounded.
    Raise ValueError or TypeError for a project that cannot be one, and ValueError if the registry has the metrics.
    """
    registry.register(BudgetCollector(projects))
    counts = _Counts(registry, models)
    for signal, receiver in (
        (signals.spend_recorded, counts.charged),
        (signals.budget_exceeded, counts.refused),
        (signals.budget_threshold_reached, counts.reached),
        (signals.budget_unavailable, counts.failed),
    ):
        signal.connect(receiver, weak=False, dispatch_uid=(_UID, id(registry)))


@dataclass(frozen=True, slots=True)
class _State:
    statuses: list[AccountStatus]
    answer_seconds: float
    open_holds: int
    backlog: int


class BudgetCollector(Collector):
    """
    Asks Redis at each scrape, so that every process shows the same.

    If Redis does not answer, ``coreason_budget_up`` is 0 and it shows nothing else.
    """

    def __init__(self, projects: Iterable[str] = ()) -> None:
        named = (Subject(Scope.PROJECT, clean_id(project, "project")) for project in projects)
        self._subjects = (*dict.fromkeys(named), GLOBAL)

    def describe(self) -> Iterable[Metric]:
        """Return nothing: at registration nobody asks Redis."""
        return ()

    def collect(self) -> Iterator[Metric]:
        """Return the metrics as they are now."""
        up = GaugeMetricFamily("coreason_budget_up", "Whether the budget can be checked: 1, or 0.")
        budget = service.manager()
        try:
            state = budget.drive(self._state(budget))
        except BudgetUnavailableError:
            up.add_metric([], 0)
            yield up
            return
        up.add_metric([], 1)
        yield up
        yield from _accounts(state.statuses)
        yield _gauge("redis_answer_seconds", "How long Redis took to answer a command.", state.answer_seconds)
        yield _gauge("open_holds", "Holds that nobody has settled yet: calls under way.", state.open_holds)
        yield _gauge("journal_entries", "Charges that wait to be written into the database.", state.backlog)

    def _state(self, budget: BudgetManager) -> Operation[_State]:
        ledger: RedisLedger = budget.ledger
        statuses = yield from budget.guard.status(ledger.deposit(self._subjects))
        started = time.perf_counter()
        backlog = yield Command(("XLEN", ledger.keys.journal))
        answer_seconds = time.perf_counter() - started
        open_holds = yield Command(("ZCARD", ledger.keys.deadlines))
        return _State(statuses, answer_seconds, int(open_holds), int(backlog))


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(f"coreason_budget_{name}", text, value)


def _accounts(statuses: Iterable[AccountStatus]) -> Iterator[Metric]:
    labels = ["scope", "subject", "period"]
    limit = GaugeMetricFamily("coreason_budget_limit_usd", "The limit, where there is one.", labels=labels)
    spent = GaugeMetricFamily("coreason_budget_spent_usd", "What is spent in the current window.", labels=labels)
    held = GaugeMetricFamily("coreason_budget_held_usd", "What calls under way hold.", labels=labels)
    share = GaugeMetricFamily(
        "coreason_budget_remaining_ratio", "What is left of the limit, from 0 to 1; 0 if it is blocked.", labels=labels
    )
    for status in statuses:  # a sample of Prometheus is a float; nothing is reckoned with it here
        values = [status.scope, status.subject, status.period]
        spent.add_metric(values, float(status.spent))
        held.add_metric(values, float(status.held))
        if status.limit is not None and status.remaining is not None:
            limit.add_metric(values, float(status.limit))
            share.add_metric(values, float(status.remaining / status.limit) if status.limit else 0)
    yield from (limit, spent, held, share)


class _Counts:
    """What the signals of this process tell, counted."""

    def __init__(self, registry: CollectorRegistry, models: int) -> None:
        self._models: set[str] = set()
        self._most_models = models
        self._charges = self._counter(registry, "charges", "Charges that were accepted.", "model")
        self._usd = self._counter(registry, "charged_usd", "What they came to, in USD.", "model")
        self._refunded = self._counter(registry, "refunded_usd", "What was refunded, in USD.")
        self._refusals = self._counter(registry, "refusals", "Calls that were refused.", "scope", "period")
        self._thresholds = self._counter(registry, "thresholds", "Thresholds that were passed.", "scope", "percent")
        self._failures = self._counter(registry, "unavailable", "Operations that the stores failed.", "operation")

    @staticmethod
    def _counter(registry: CollectorRegistry, name: str, text: str, *labels: str) -> Counter:
        return Counter(f"coreason_budget_{name}", text, labels, registry=registry)

    def charged(self, *, receipt: Receipt, model: str | None, **_: Any) -> None:
        """Count a charge or a refund."""
        if receipt.cost < 0:
            self._refunded.inc(float(-receipt.cost))
            return
        label = self._label_of(model or "")
        self._charges.labels(label).inc()
        self._usd.labels(label).inc(float(receipt.cost))

    def refused(self, *, error: BudgetExceededError, **_: Any) -> None:
        """Count a refusal."""
        self._refusals.labels(error.scope, error.period).inc()

    def reached(self, *, threshold: int, status: AccountStatus, **_: Any) -> None:
        """Count a threshold."""
        self._thresholds.labels(status.scope, str(threshold)).inc()

    def failed(self, *, operation: str, **_: Any) -> None:
        """Count a failure."""
        self._failures.labels(operation).inc()

    def _label_of(self, model: str) -> str:
        if model in self._models or len(self._models) < self._most_models:
            self._models.add(model)
            return model
        return OTHER
