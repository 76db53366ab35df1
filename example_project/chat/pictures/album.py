"""All pictures, from an empty data folder to their files."""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING
from unittest.mock import patch

from django.core.management import call_command

from ..quiet import quiet_loguru
from .clock import Clock
from .month import NOW, play
from .shots import take_all
from .site import serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["take"]


def take(chromium: str, folder: Path) -> Iterator[Path]:
    """Spend for a month, stop the clock, and take the pictures of what the site shows then. Yield their files."""
    quiet_loguru()
    call_command("migrate", verbosity=0, interactive=False)
    clock = Clock(NOW)
    references = Random(1).choice  # noqa: S311 - so that they too are the same every time
    with clock.everywhere(), patch("coreason_budget.refusals.references.choice", references):
        play(clock)
        with serving("chat_site.asgi:application") as address:
            yield from take_all(address, chromium, folder)
