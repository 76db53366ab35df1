"""
Whether other accounts make a call dearer: the server's time with one up to a million of them.

Calls of one user tell what the number costs, calls of any user what it costs to find theirs in memory beyond caches.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from coreason_budget.scopes import Scope, Subject

from . import seeds
from .server import growth, managers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stage import Options
    from .tables import Row

__all__ = ["measure"]


def measure(options: Options) -> Iterator[Row]:
    """Return the server's time for calls of users among so many whose accounts are open."""
    sizes = options.sizes(full=(1, 1_000, 100_000, 1_000_000), quick=(1, 1_000))
    random = Random(7)  # noqa: S311 - traffic to measure, no secrets
    with managers({size: {} for size in sizes}) as made:
        for size, manager in made.items():
            manager.status("ann", "search")
            seeds.accounts(manager, Subject(Scope.USER, "ann"), size)
        yield from growth("accounts", "accounts", made, options)
        yield from growth("accounts, any", "accounts", made, options, lambda size: f"user-{random.randrange(size)}")
