"""``live_figures``: how the accounts behind the limits of a page stand now, asked for all of them at once."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .. import service
from ..exceptions import BudgetError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ..models import BudgetLimit
    from ..results import AccountStatus
    from ..scopes import Subject

__all__ = ["LiveFigures", "live_figures"]


@dataclass(frozen=True, slots=True)
class LiveFigures:
    """The accounts as they stood when asked. ``problem`` says why nothing is known, if it is so."""

    statuses: Mapping[tuple[Subject, str], AccountStatus] = field(default_factory=dict)
    problem: str = ""

    def of(self, limit: BudgetLimit) -> AccountStatus | None:
        """Return how a limit's account stands in its period, None if that is not known."""
        return self.statuses.get((limit.subject, limit.period))


def live_figures(limits: Iterable[BudgetLimit]) -> LiveFigures:
    """Return how the accounts of limits stand: one round trip to Redis, whatever their number, and never an error."""
    subjects = tuple(dict.fromkeys(limit.subject for limit in limits))
    if not subjects:
        return LiveFigures()
    try:
        budget = service.manager()
        accounts = budget.drive(budget.guard.peek(subjects))
    except BudgetError as error:
        return LiveFigures(problem=str(error))
    return LiveFigures(
        {(subject, status.period): status for subject, statuses in accounts.items() for status in statuses}
    )
