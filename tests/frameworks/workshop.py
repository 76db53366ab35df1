"""A Celery app whose broker and results are in memory, and its tasks."""

from __future__ import annotations

from typing import Any

from celery import Celery, signals
from celery.exceptions import Reject

from coreason_budget import budgeted_run, payer, service
from coreason_budget.integrations.celery import charge_id
from coreason_budget.refusals.places import here

app = Celery("workshop", broker="memory://", backend="cache+memory://", set_as_current=False)
app.conf.update(
    task_default_queue="workshop",
    broker_connection_retry_on_startup=False,
    broker_transport_options={"polling_interval": 0.01},
    worker_redirect_stdouts=False,
)

runs: list[str] = []


@signals.setup_logging.connect
def leave_logging_alone(**_: Any) -> None:
    """Let a worker in this process change nothing of what tests hear."""


@app.task
def who() -> Any:
    """Return who pays here."""
    found = payer()
    return None if found is None else [found.user_id, found.project_id, found.view]


@app.task
def where() -> Any:
    """Return where calls are asked for here."""
    place = here()
    return None if place is None else place.view()


@app.task
def ask(*_: Any, cost: str = "0.2") -> str:
    """Hold and charge, as code does that knows nothing of requests."""
    found = payer()
    assert found is not None
    with service.reservation(*found.accounts, amount="0.5") as hold:
        hold.charge(cost=cost)
    return found.user_id


@app.task
def run() -> str:
    """Charge on a run whose user is not named."""
    with budgeted_run(amount="0.5") as held:
        held.charge(cost="0.2")
        return f"{held.amount:f}"


@app.task(bind=True, max_retries=2, default_retry_delay=0)
def ask_twice(self: Any) -> int:
    """Charge, and be retried once."""
    with budgeted_run(amount="0.5") as held:
        held.charge(cost="0.2", charge_id=charge_id())
    if not self.request.retries:
        raise self.retry()
    return int(self.request.retries)


@app.task(bind=True, acks_late=True)
def ask_and_be_lost(self: Any) -> int:
    """Make two charges; the first time the broker gets the message back, as if the worker had died after them."""
    with budgeted_run(amount="0.5") as held:
        held.charge(cost="0.2", charge_id=charge_id("draft"))
        held.charge(cost="0.1", charge_id=charge_id("final"))
    runs.append(self.request.id)
    if len(runs) == 1:
        raise Reject(requeue=True)
    return len(runs)


@app.task
def send() -> str:
    """Send another task."""
    return str(ask.delay().id)
