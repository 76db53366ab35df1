"""Who takes part: this project and its peers, each with what it needs and what must be known to read its figures."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from .environments import python_of

__all__ = ["OURS", "ROSTER", "Entry"]


@dataclass(frozen=True, slots=True)
class Entry:
    """A peer: its adapter's module, its requirements and its store, a dialect of ``wire``."""

    name: str
    module: str
    requirements: tuple[str, ...]
    note: str
    store: str = "redis"

    def python(self) -> str:
        """Return the Python that runs its adapter. Raise UnavailableError if there can be none."""
        return python_of(self.requirements) if self.requirements else sys.executable

    def paths(self) -> tuple[Path, ...]:
        """Return what its Python must see beside its environment."""
        return () if self.requirements else (Path(__file__).parents[2],)


OURS: Final = Entry(
    "this project",
    "ours",
    (),
    "holds over user, project and site; gives back what a call did not cost; writes a row of each call to SQLite",
)
ROSTER: Final = (
    OURS,
    Entry(
        "coreason-budget",
        "reference",
        ("coreason-budget==0.2.0",),
        "the reference package: checks user, project and site, then records; holds nothing; Redis only",
    ),
    Entry(
        "mcp-budget-governor",
        "governor",
        ("mcp-budget-governor[redis]==0.1.0",),
        "reserves and settles user, tenant and global, one limit after the other; async only; Redis only",
    ),
    Entry(
        "tokencap",
        "tokencap",
        ("tokencap[redis]==0.2.0",),
        "counts three dimensions first, gives back nothing; no periods; blocks (and counts) who reaches 100 %",
    ),
    Entry(
        "limits",
        "limits",
        ("limits[redis]==5.8.0",),
        "a rate limiter: hits three windows with the estimate; books no cost and gives back nothing; Redis only",
    ),
    Entry(
        "litellm",
        "litellm",
        ("litellm[proxy]==1.108.7",),
        "its proxy's reservation of user, project and organization, without the proxy, its auth and its database",
    ),
    Entry(
        "django-openrouter",
        "openrouter",
        ("django-openrouter==0.5.1", "psycopg[binary]>=3.2"),
        "holds of one scope, its profile: rows of PostgreSQL (fsync off); multiple of SELECT 1; sums the month's rows",
        "postgres",
    ),
)
