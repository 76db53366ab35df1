"""``Note``: what is kept of a refused call under its reference. Amounts are nano-USD, instants are milliseconds."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Final

from ..periods import Period, from_ms
from ..scopes import Scope, Subject

__all__ = ["Note"]

_JSON: Final = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False)


@dataclass(frozen=True, slots=True)
class Note:
    """
    The latest of the calls that were refused for one reason and share a reference: ``times`` of them since ``first``.

    ``user`` is empty for visitors who are not logged in, ``project`` where there is none; ``level`` is the scope of the
    account that had no room, ``asked`` what the call asked for. ``view`` and ``path`` are empty where nobody said.
    """

    at: int
    first: int
    times: int
    user: str
    project: str
    level: str
    period: str
    spent: int
    held: int
    limit: int
    asked: int
    resets: int
    view: str = ""
    path: str = ""

    def text(self) -> str:
        """Return the note as it is stored."""
        return _JSON.encode(asdict(self))

    @classmethod
    def read(cls, text: str) -> Note:
        """Read a stored note. Raise ValueError, TypeError or KeyError for what is none."""
        note = cls(**json.loads(text))
        Scope(note.level), Period(note.period), from_ms(note.at), from_ms(note.first), from_ms(note.resets)
        return note

    @property
    def subject(self) -> Subject:
        """Whose account had no room."""
        ids = {Scope.USER: self.user, Scope.PROJECT: self.project}
        scope = Scope(self.level)
        return Subject(scope, ids.get(scope, ""))
