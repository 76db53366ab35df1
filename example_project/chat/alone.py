"""One demo at a time: a second one on the same data would wipe the books that the first is checking."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows, with a Redis of one's own: nothing watches there
    fcntl = None  # type: ignore[assignment]

__all__ = ["AlreadyRunningError", "alone"]


class AlreadyRunningError(RuntimeError):
    """Another process holds the lock."""


@contextmanager
def alone(path: Path) -> Iterator[None]:
    """Hold a lock file that the end of the process releases. Raise AlreadyRunningError if another process has it."""
    with path.open("ab") as file:
        if fcntl is not None:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise AlreadyRunningError("Another demo is running on the same data.") from None
        yield
