"""Operations driven by hand, a step at a time, so that a test can do something in between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from coreason_budget.ledger.scripts import script

if TYPE_CHECKING:
    from coreason_budget import BudgetManager

__all__ = ["drive_until", "finish", "runs"]


def runs(args: Any, name: str) -> bool:
    """Tell whether a command runs that script."""
    return len(args) > 1 and args[1] in {script(name).sha, script(name).source}


def drive_until(budget: BudgetManager, operation: Any, name: str) -> Any:
    """Drive an operation to where it wants that script run; return that step."""
    step = next(operation)
    while not runs(getattr(step, "args", ()), name):
        step = _send(budget, operation, step)
    return step


def finish(budget: BudgetManager, operation: Any, step: Any) -> Any:
    """Perform a step, drive the operation to its end and return its result."""
    try:
        while True:
            step = _send(budget, operation, step)
    except StopIteration as stop:
        return stop.value


def _send(budget: BudgetManager, operation: Any, step: Any) -> Any:
    try:
        result = step.perform(budget.ledger)
    except Exception as error:  # noqa: BLE001  # it is for the operation to decide
        return operation.throw(error)
    return operation.send(result)
