"""What objects with locks and connections do in a forked child: there both are the parent's."""

from __future__ import annotations

import os
import weakref
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["afresh_in_child"]


def afresh_in_child(start_afresh: Callable[[], None]) -> None:
    """Have a method of an object called in every forked child, as long as the object lives."""
    bound = weakref.WeakMethod(start_afresh)

    def in_child() -> None:
        method = bound()
        if method is not None:
            method()

    os.register_at_fork(after_in_child=in_child)
