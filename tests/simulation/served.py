"""A script that the server of a world has run, as the auditor sees it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from .inspection import Inspection
    from .process import Process

__all__ = ["Served"]

WITHOUT_TERMS: Final = {"ack", "extend", "limits"}


@dataclass(frozen=True, slots=True, repr=False)
class Served:
    """A script that has run: what it was given, what it answered, and what the server held before and after."""

    name: str
    keys: Sequence[str]
    args: Sequence[Any]
    reply: list[str]
    now: int
    before: Inspection
    after: Inspection
    process: Process | None

    def __repr__(self) -> str:
        keys = " ".join(key.partition("}:")[2] for key in self.keys)
        args = [self.args[i] for i in range(len(self.args)) if i != 1 or self.name in WITHOUT_TERMS]
        return f"{self.name} {keys} {args} -> {self.reply} at {self.now}"

    @property
    def terms(self) -> Mapping[str, Sequence[Any]] | None:
        """The windows that it was told of: before, now and after by the caller's clock, for each period."""
        return None if self.name in WITHOUT_TERMS else _windows(str(self.args[1]))


@lru_cache(maxsize=512)
def _windows(terms: str) -> dict[str, list[Any]]:
    rows = (row.split(" ") for row in terms.split("|")[1:])
    return {code: [*row[:3], *map(int, row[3:])] for code, *row in rows}
