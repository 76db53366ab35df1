"""What goes wrong in a world, and how often."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Final, TypedDict

__all__ = ["PROFILES", "Profile"]


@dataclass(frozen=True, slots=True)
class Profile:
    """
    How a site and its adversary behave.

    Chances are those of a command (``lost_requests`` to ``doubled``), of a database statement (``failing`` to
    ``slow``), of a worker (``late`` to ``transactions``), and of a step of the world (the rest, ``ACTIONS``).
    """

    name: str
    projects: tuple[str | None, ...] = ("apollo", None)
    lost_requests: float = 0.0
    lost_replies: float = 0.0
    late_requests: float = 0.0
    doubled: float = 0.0

    failing: float = 0.0
    lost_commits: float = 0.0
    slow: float = 0.0

    late: float = 0.05
    redelivered: float = 0.05
    reused_ids: float = 0.02
    skewed: float = 0.0
    at_midnight: float = 0.2
    transactions: float = 0.0  # of these every other is rolled back

    kills: float = 0.0
    interrupts: float = 0.0
    flushes: float = 0.0
    lost_accounts: float = 0.0
    lost_holds: float = 0.0
    lost_charges: float = 0.0
    lost_deadlines: float = 0.0
    lost_journals: float = 0.0
    restarts: float = 0.0
    snapshots: float = 0.0
    script_flushes: float = 0.0
    server_outages: float = 0.0
    database_outages: float = 0.0
    clock_steps: float = 0.0
    edits: float = 0.0
    jumps: float = 0.0


_names: Final = [field.name for field in fields(Profile)]
#: What an adversary may do at a step of the world.
ACTIONS: Final = tuple(_names[_names.index("kills") :])


class Net(TypedDict):
    """What a bad network does."""

    lost_requests: float
    lost_replies: float
    late_requests: float
    doubled: float


SEVERAL: Final = ("apollo", "borealis", None)
NET: Final[Net] = {"lost_requests": 0.02, "lost_replies": 0.03, "late_requests": 0.01, "doubled": 0.01}

PROFILES: Final = (
    Profile("quiet", edits=0.002),
    Profile("net", **NET, late=0.2),
    Profile("net and kills", **NET, kills=0.006, interrupts=0.003, late=0.2),
    Profile("late", late=0.6, redelivered=0.2, jumps=0.002),
    Profile("redelivered", **NET, redelivered=0.5, reused_ids=0.1, lost_charges=0.003, kills=0.002, jumps=0.003),
    Profile("midnight", **NET, at_midnight=1.0, late=0.3, flushes=0.003, jumps=0.004, clock_steps=0.002),
    Profile("limits", **NET | {"late_requests": 0.06}, edits=0.04, flushes=0.001, failing=0.01, jumps=0.004),
    Profile("flush", **NET, flushes=0.006, kills=0.001),
    Profile("lost keys", **NET, lost_accounts=0.004, lost_holds=0.002, lost_charges=0.002, lost_deadlines=0.001,
            lost_journals=0.002, late=0.1),
    Profile("restart", **NET, restarts=0.004, snapshots=0.02, kills=0.001, script_flushes=0.002, late=0.1),
    Profile("clocks", **NET, clock_steps=0.006, skewed=0.7, flushes=0.002, at_midnight=0.6, late=0.1),
    Profile("database", lost_replies=0.01, failing=0.03, lost_commits=0.03, slow=0.03, database_outages=0.003,
            kills=0.001),
    Profile("slow database", slow=0.5, flushes=0.003, lost_replies=0.01),
    Profile("server outages", lost_replies=0.01, server_outages=0.004, late=0.2),
    Profile("both down", server_outages=0.004, database_outages=0.004, failing=0.01, kills=0.001),
    Profile("all", **NET, failing=0.005, lost_commits=0.005, slow=0.01, late=0.15, redelivered=0.15, reused_ids=0.05,
            skewed=0.3, kills=0.001, interrupts=0.001, flushes=0.001, lost_accounts=0.001, lost_holds=0.0005,
            lost_charges=0.001, lost_deadlines=0.0005, lost_journals=0.0007, restarts=0.001, snapshots=0.004,
            script_flushes=0.001, server_outages=0.001, database_outages=0.001, clock_steps=0.001, edits=0.003,
            jumps=0.001),
    Profile("transactions", SEVERAL, **NET, transactions=0.6, kills=0.003, interrupts=0.003, flushes=0.001, late=0.2,
            redelivered=0.1, edits=0.003),
    Profile("transactions in trouble", transactions=0.6, failing=0.02, lost_commits=0.02, database_outages=0.003,
            server_outages=0.003, kills=0.002, lost_replies=0.01),
    Profile("all and more", SEVERAL, **NET, transactions=0.3, failing=0.005,
            lost_commits=0.005, slow=0.01, late=0.15, redelivered=0.15, reused_ids=0.05, skewed=0.3, kills=0.001,
            interrupts=0.001, flushes=0.001, lost_accounts=0.001, lost_charges=0.001, lost_journals=0.0007,
            restarts=0.001, snapshots=0.004, script_flushes=0.001, server_outages=0.001, database_outages=0.001,
            clock_steps=0.001, edits=0.003, jumps=0.001),
)  # fmt: skip
