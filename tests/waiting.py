"""Waits for what comes about in its own time, where there is no event to wait for."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


def until(condition: Callable[[], Any], seconds: float = 15) -> None:
    """Wait for a condition. Raise TimeoutError if it does not come about."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{condition} did not come about in {seconds} s.")
        time.sleep(0.01)
