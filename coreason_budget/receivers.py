"""What happens when a row is saved or deleted, or a request begins and ends."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from django.core.signals import request_finished, request_started
from django.db import router, transaction
from django.db.models.signals import post_delete, post_save

from . import service
from .exceptions import BudgetError
from .ledger.database import in_request
from .log import logger

if TYPE_CHECKING:
    from .models import BudgetLimit
    from .scopes import Subject

__all__ = ["connect"]


def connect() -> None:
    """Connect all receivers. Called once, by the app's ``ready()``."""
    from .models import GlobalLimit, ModelPrice, ProjectLimit, UserLimit

    for model in (UserLimit, ProjectLimit, GlobalLimit):
        for signal in (post_save, post_delete):
            signal.connect(push_limits, sender=model, dispatch_uid=f"coreason_budget.{model.__name__}")
    for signal in (post_save, post_delete):
        signal.connect(forget_prices, sender=ModelPrice, dispatch_uid="coreason_budget.ModelPrice")
    request_started.connect(_enter_request, dispatch_uid="coreason_budget.request_started")
    request_finished.connect(_leave_request, dispatch_uid="coreason_budget.request_finished")


def push_limits(sender: type[BudgetLimit], instance: BudgetLimit, using: str | None = None, **_: Any) -> None:
    """Have the next call in every process obey a changed limit, once its transaction is committed."""
    alias = using or router.db_for_write(sender, instance=instance)
    transaction.on_commit(partial(_push, instance.subject), using=alias, robust=True)


def _push(subject: Subject) -> None:
    try:
        budget = service.manager()
        budget.drive(budget.ledger.outdate(subject, uuid4().hex))
    except BudgetError as error:
        logger.warning(
            "The changed limit of {} is seen within LIMITS_TTL, it could not be pushed: {}", subject.label, error
        )


def forget_prices(**_: Any) -> None:
    """Have the next price be read afresh in this process; others see the change within LIMITS_TTL."""
    transaction.on_commit(_forget_prices, robust=True)


def _forget_prices() -> None:
    service.pricing().forget()


def _enter_request(**_: Any) -> None:
    in_request.set(True)


def _leave_request(**_: Any) -> None:
    in_request.set(False)
