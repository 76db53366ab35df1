"""
The signals of the app. All are sent with ``send_robust``: a receiver that raises breaks nothing and is logged.

The sender is ``coreason_budget.guard.BudgetGuard``. Amounts are USD (``Decimal``).
"""

from __future__ import annotations

from typing import Final

from django.dispatch import Signal

__all__ = ["budget_exceeded", "budget_threshold_reached", "budget_unavailable", "spend_recorded"]

#: A call was refused. Arguments: ``error`` (BudgetExceededError) and ``first`` (True once per account and window).
budget_exceeded: Final = Signal()

#: An account's spend passed a threshold, once per threshold, window and account over all processes.
#: Arguments: ``threshold`` (percent, int) and ``status`` (AccountStatus after the charge).
budget_threshold_reached: Final = Signal()

#: A charge or a refund was accepted by the ledger, once per charge id. Arguments: ``receipt`` (Receipt; the cost of a
#: refund is negative), ``user_id``, ``project_id`` and ``model`` (None where there is none).
spend_recorded: Final = Signal()

#: Redis or the database did not answer. Arguments: ``error`` (BudgetUnavailableError) and ``operation`` (str).
budget_unavailable: Final = Signal()
