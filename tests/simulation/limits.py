"""What the limits of a world's accounts were, and since when the server has been told; and those who edit them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.db import DatabaseError

from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit
from coreason_budget.money import to_nanos, to_usd

from .clock import SECOND
from .windows import CODES, NAMES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coreason_budget.models import BudgetLimit

    from .served import Served
    from .world import World

__all__ = ["DatabaseError", "LimitBook", "delete", "save"]

#: How much longer than LIMITS_TTL a change without a push may stay unseen: what was read may arrive late.
LATE: Final = 60 * SECOND

Values = dict[str, str]


@dataclass(frozen=True, slots=True)
class Edition:
    """The overrides of an account by period code, as the server writes them, since an instant."""

    since: int
    values: Values


class LimitBook:
    """The overrides of all accounts as they changed in the database."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._version = -1
        self._editions: dict[str, list[Edition]] = {subject: [Edition(0, {})] for subject in world.subjects}
        self._floors = dict.fromkeys(world.subjects, 0)

    def look(self) -> None:
        """Note what the tables say now."""
        tables = self._world.tables
        if tables.limits_version == self._version:
            return
        self._version = tables.limits_version
        now: dict[str, Values] = {subject: {} for subject in self._world.subjects}
        for subject, period, amount in tables.limits():
            code = next(code for code in CODES if NAMES[code] == period)
            now[subject][code] = "u" if amount is None else str(to_nanos(str(amount)))
        for subject, values in now.items():
            if self._editions[subject][-1].values != values:
                self._editions[subject].append(Edition(self._world.clock.now, values))

    def pushed(self, subject: str) -> None:
        """The server was told that the limits have changed: what was read before must not count any more."""
        self.look()
        self._floors[subject] = len(self._editions[subject]) - 1

    def was_edited(self, subject: str, code: str) -> bool:
        """Whether the limit of a period was ever changed."""
        self.look()
        return len({edition.values.get(code) for edition in self._editions[subject]}) > 1

    def check_current(self, subject: str, code: str, value: str, served: Served) -> None:
        """Check that a limit by which a call was let through is the current one, or one that need not be known yet."""
        self.look()
        editions, floor = self._editions[subject], self._floors[subject]
        oldest = self._world.clock.now - round(self._world.config.limits_ttl * SECOND) - LATE
        may_be_old = self._world.database_failed_since(oldest)
        allowed = [
            edition.values.get(code, "")
            for i, edition in enumerate(editions)
            if i >= floor and (i + 1 == len(editions) or may_be_old or editions[i + 1].since >= oldest)
        ]
        is_known = value in allowed
        self._world.auditor.require("a changed limit is obeyed", is_known, subject, code, value, allowed, served)


def save(subject: str, period: str, nanos: int | None) -> None:
    """Save a limit as an admin does: None is unlimited."""
    scope, _, name = subject.partition(":")
    models: dict[str, tuple[type[BudgetLimit], dict[str, Any]]] = {
        "user": (UserLimit, {"user_id": name}),
        "project": (ProjectLimit, {"project_id": name}),
        "global": (GlobalLimit, {}),
    }
    model, which = models[scope]
    amount = None if nanos is None else to_usd(nanos)
    row = model._default_manager.filter(period=period, **which).first() or model(period=period, **which)
    row.amount_usd = amount
    row.save()


def delete(subject: str, period: str) -> Sequence[Any]:
    """Delete a limit as an admin does."""
    scope, _, name = subject.partition(":")
    match scope:
        case "user":
            return UserLimit.objects.filter(period=period, user_id=name).delete()
        case "project":
            return ProjectLimit.objects.filter(period=period, project_id=name).delete()
        case _:
            return GlobalLimit.objects.filter(period=period).delete()
