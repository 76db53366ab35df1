"""The time of a simulated world: nobody waits for it, and everybody's clock may be wrong by some."""

from __future__ import annotations

from dataclasses import dataclass

SECOND = 1_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR


@dataclass
class Clock:
    """Milliseconds since the epoch as they truly are, and what the server's clock says instead."""

    now: int
    server_offset: int = 0

    @property
    def server(self) -> int:
        """What the server's clock shows; it may be stepped back."""
        return self.now + self.server_offset

    def seconds(self) -> float:
        """A clock that only moves forward, as ``time.monotonic`` does."""
        return self.now / SECOND

    def nanoseconds(self) -> int:
        return self.now * 1_000_000
