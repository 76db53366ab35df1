"""Whether open holds make a call dearer: the server's time with none up to 100,000 of them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from coreason_budget.scopes import subjects_of

from . import seeds
from .server import COST, growth, managers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stage import Options
    from .tables import Row

__all__ = ["measure"]


def measure(options: Options) -> Iterator[Row]:
    """Return the server's time for calls on accounts that have so many open holds."""
    sizes = options.sizes(full=(0, 1_000, 10_000, 100_000), quick=(0, 1_000))
    with managers({size: {} for size in sizes}) as made:
        for size, manager in made.items():
            manager.status("ann", "search")
            with manager.reserve("ann", "search", amount=COST) as one:
                seeds.holds(manager, one, subjects_of("ann", "search"), size)
        yield from growth("holds", "open holds", made, options)
