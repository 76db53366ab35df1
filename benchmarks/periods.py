"""What limits of more periods cost: the server's time with a limit per day, and week, and month, in every scope."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .server import growth, managers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .stage import Options
    from .tables import Row

__all__ = ["measure"]


def measure(options: Options) -> Iterator[Row]:
    """Return the server's time for calls whose three accounts have limits in one period up to three."""
    names = ("daily", "weekly", "monthly")
    limits = {
        count: {
            f"{name}_{scope}_limit_usd": 1_000_000 for name in names[:count] for scope in ("user", "project", "global")
        }
        for count in (1, 2, 3)
    }
    with managers(limits) as made:
        for manager in made.values():
            manager.status("ann", "search")
        yield from growth("periods", "periods", made, options)
