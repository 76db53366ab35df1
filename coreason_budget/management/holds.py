"""``open_holds``: the calls that are in flight, as the money that they have set aside."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ..ledger.scripts import text_of
from ..ledger.steps import Command
from ..scopes import Scope, Subject, subject_of_key
from .backlog import server_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ..ledger.redis import RedisLedger
    from ..ledger.steps import Operation

__all__ = ["OpenHold", "OpenHolds", "open_holds"]


@dataclass(frozen=True, slots=True)
class OpenHold:
    """What one call has set aside: for whom, how much is left of it (nano-USD), and since when (seconds)."""

    hold_id: str
    subjects: tuple[Subject, ...]
    left: int
    age: float | None  # not known of a hold that an older version made
    ends_in: float  # seconds; negative once it is past its deadline

    @property
    def user_id(self) -> str:
        """The user's id, empty for a visitor who is not logged in."""
        return self._id(Scope.USER)

    @property
    def project_id(self) -> str:
        """The project's id, empty if there is none."""
        return self._id(Scope.PROJECT)

    def _id(self, scope: Scope) -> str:
        return next((subject.id for subject in self.subjects if subject.scope is scope), "")


@dataclass(frozen=True, slots=True)
class OpenHolds:
    """How many holds there are, and those of them that end first."""

    count: int
    first: Sequence[OpenHold]


def open_holds(ledger: RedisLedger, most: int) -> Operation[OpenHolds]:
    """Return the open holds, at most so many of them in full. It asks once for each. Raise BudgetUnavailableError."""
    now = yield from server_now(ledger)
    count = int((yield Command(("ZCARD", ledger.keys.deadlines))))
    ids = map(text_of, (yield Command(("ZRANGE", ledger.keys.deadlines, 0, most - 1))))
    found = []
    for hold_id in ids:
        fields = yield Command(("HMGET", ledger.keys.hold(hold_id), "st", "left", "at", "dl", "acc"))
        state, left, at, deadline, accounts = map(text_of, fields)
        if state == "open":
            age = max(0.0, (now - int(at)) / 1000) if at else None
            subjects = tuple(_subjects(accounts, ledger.keys.accounts_prefix))
            found.append(OpenHold(hold_id, subjects, int(left), age, (int(deadline) - now) / 1000))
    return OpenHolds(count, found)


def _subjects(accounts: str, prefix: str) -> Sequence[Subject]:
    return [subject_of_key(key.removeprefix(prefix)) for key in accounts.split(" ")]
