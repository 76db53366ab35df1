"""
A spending guard for LLM calls in Django: exact budgets per user, project and site.

All public names can be imported from here; each is loaded at first use, so importing this package costs next to
nothing and never loads models, Redis or litellm.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .conf import BudgetConfig
    from .decorators import budgeted
    from .exceptions import (
        BudgetConfigurationError,
        BudgetError,
        BudgetExceededError,
        BudgetUnavailableError,
        ChargeConflictError,
        HoldClosedError,
        MissingUserError,
        RedisConnectionError,
        RefundError,
        RunExhaustedError,
        StreamConsumedError,
        UnknownModelError,
    )
    from .guard import BudgetGuard
    from .ledger.redis import RedisLedger
    from .manager import BudgetManager
    from .metering.current import payer
    from .metering.runs import budgeted_run
    from .pricing import PricingEngine
    from .reservation import Reservation
    from .results import AccountStatus, Receipt
    from .scopes import ANONYMOUS
    from .signals import budget_exceeded, budget_threshold_reached, budget_unavailable, spend_recorded

__version__ = "0.1.0"

_HOMES: Final = {
    "ANONYMOUS": "scopes",
    "AccountStatus": "results",
    "BudgetConfig": "conf",
    "BudgetConfigurationError": "exceptions",
    "BudgetError": "exceptions",
    "BudgetExceededError": "exceptions",
    "BudgetGuard": "guard",
    "BudgetManager": "manager",
    "BudgetUnavailableError": "exceptions",
    "ChargeConflictError": "exceptions",
    "HoldClosedError": "exceptions",
    "MissingUserError": "exceptions",
    "PricingEngine": "pricing",
    "Receipt": "results",
    "RedisConnectionError": "exceptions",
    "RedisLedger": "ledger.redis",
    "RefundError": "exceptions",
    "RunExhaustedError": "exceptions",
    "Reservation": "reservation",
    "StreamConsumedError": "exceptions",
    "UnknownModelError": "exceptions",
    "budget_exceeded": "signals",
    "budget_threshold_reached": "signals",
    "budget_unavailable": "signals",
    "budgeted_run": "metering.runs",
    "budgeted": "decorators",
    "payer": "metering.current",
    "spend_recorded": "signals",
}

__all__ = [
    "ANONYMOUS",
    "AccountStatus",
    "BudgetConfig",
    "BudgetConfigurationError",
    "BudgetError",
    "BudgetExceededError",
    "BudgetGuard",
    "BudgetManager",
    "BudgetUnavailableError",
    "ChargeConflictError",
    "HoldClosedError",
    "MissingUserError",
    "PricingEngine",
    "Receipt",
    "RedisConnectionError",
    "RedisLedger",
    "RefundError",
    "Reservation",
    "RunExhaustedError",
    "StreamConsumedError",
    "UnknownModelError",
    "budget_exceeded",
    "budget_threshold_reached",
    "budget_unavailable",
    "budgeted",
    "budgeted_run",
    "payer",
    "spend_recorded",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f".{_HOMES[name]}", __name__), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
