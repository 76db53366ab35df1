"""What goes wrong in a world: on the wires, on the server, in the database, in the processes and with the clocks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.db import OperationalError

from .clock import DAY, HOUR, MINUTE, SECOND
from .profiles import ACTIONS
from .stores import KEYS, FakeStore
from .wires import Fate
from .workers import Admin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .model import Server
    from .stores import Dump
    from .world import World

__all__ = ["Adversary"]


class Adversary:
    """Does what its profile says, until it is told to rest."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._random = world.random
        self._profile = world.profile
        self._weights = [getattr(world.profile, action) for action in ACTIONS]
        self._chance = sum(self._weights)
        self._saved: list[tuple[Dump, Server]] = []
        self._server_down: Fate | None = None
        self._database_down = False
        self._fastest = 0
        self.is_resting = False

    def rest(self) -> None:
        """Do no more harm, and mend what is down."""
        self.is_resting = True
        self._server_down = None
        self._database_down = False
        self._world.clock.server_offset = max(self._world.clock.server_offset, self._fastest)  # it is put right again

    def act(self) -> None:
        """Do something at a step of the world, or nothing."""
        if self._random.random() < self._chance and not self.is_resting:
            (action,) = self._random.choices(ACTIONS, self._weights)
            getattr(self, f"_{action}")()

    # on the wires ----------------------------------------------------------------------------------------------------

    def delay(self) -> int:
        """Return how many ms a request or a reply is on its way."""
        return self._random.choice((0, 0, 0, 0, 1, 1, 2, 30))

    def lateness(self, timeout: int) -> int:
        """Return how many ms after it was sent a request is executed that arrives later than its client waits."""
        return timeout + self._random.choice((1, 50, SECOND, 5 * SECOND, 40 * SECOND))

    def fate(self, args: Sequence[Any]) -> Fate:
        """Decide what becomes of a command."""
        if self.is_resting:
            return Fate.ARRIVES
        if self._server_down is not None:
            self._world.trouble()
            return self._server_down
        profile, dice = self._profile, self._random.random()
        for chance, fate in (
            (profile.lost_requests, Fate.LOST),
            (profile.lost_replies, Fate.UNANSWERED),
            (profile.late_requests, Fate.LATE),
            (profile.doubled, Fate.DOUBLED),
        ):
            if dice < chance:
                self._world.trouble()
                return fate
            dice -= chance
        return Fate.ARRIVES

    # in the database -------------------------------------------------------------------------------------------------

    def database(self, what: str) -> None:
        """Make a statement wait or fail; see Tables."""
        world, profile, random = self._world, self._profile, self._random
        if world.scheduler.current is None:
            return
        if what == "refused":
            world.trouble()
            world.database_troubles.append(world.clock.now)
            world.note("database", "locked")
            return
        if what == "statement":
            world.scheduler.park(random.choice((0, 0, 1, 5)))
        if self.is_resting:
            return
        if what == "statement" and random.random() < profile.slow:
            world.trouble()
            world.database_troubles.append(world.clock.now)
            world.note("database", "slow")
            world.scheduler.park(3 * SECOND)
        chance = profile.lost_commits if what == "commit" else profile.failing
        if (self._database_down and what != "commit") or random.random() < chance:
            world.trouble()
            world.database_troubles.append(world.clock.now)
            world.note("database", f"{what} fails")
            raise OperationalError("the server closed the connection unexpectedly")

    # at a step -------------------------------------------------------------------------------------------------------

    def _kills(self) -> None:
        self._world.kill(self._random.choice(self._world.processes))

    def _interrupts(self) -> None:
        self._world.interrupt()

    def _flushes(self) -> None:
        self._world.note("adversary", "flushes all")
        self._world.gateway.store.send(("FLUSHALL",))
        self._world.auditor.lost_all()
        self._world.lose_data()

    def _lost_accounts(self) -> None:
        self._delete(KEYS.accounts_prefix)

    def _lost_holds(self) -> None:
        self._delete(KEYS.hold(""))

    def _lost_charges(self) -> None:
        self._delete(KEYS.charge(""))

    def _lost_deadlines(self) -> None:
        self._delete(KEYS.deadlines)

    def _lost_journals(self) -> None:
        self._delete(KEYS.journal)

    def _delete(self, prefix: str) -> None:
        (keys,) = self._world.gateway.store.send(("KEYS", "*"))
        found = sorted(key for key in keys if key.startswith(prefix))
        if found:
            key = self._random.choice(found)
            self._world.note("adversary", f"deletes {key}")
            self._world.gateway.store.send(("DEL", key))
            self._world.auditor.lost_key(key)
            self._world.lose_data()

    def _snapshots(self) -> None:
        if not isinstance(self._world.gateway.store, FakeStore):
            self._saved.append((self._world.gateway.store.dump(), self._world.auditor.server.copy()))

    def _restarts(self) -> None:
        self._snapshots()
        if not self._world.gateway.move():
            return
        kind = self._random.choice(("all", "old", "old", "nothing"))
        self._world.note("adversary", f"restarts the server with {kind}")
        if kind == "nothing":
            self._world.auditor.lost_all()
        else:
            dump, server = self._saved[-1] if kind == "all" else self._random.choice(self._saved)
            self._world.gateway.store.restore(dump)
            self._world.auditor.restored(server.copy())
        self._world.lose_data()

    def _script_flushes(self) -> None:
        self._world.note("adversary", "flushes the scripts")
        self._world.gateway.store.forget_scripts()

    def _server_outages(self) -> None:
        self._server_down = self._random.choice((Fate.REFUSED, Fate.LOST, Fate.UNANSWERED))
        self._world.note("adversary", f"the server is down: {self._server_down.name}")
        self._world.later(self._random.choice((500, 3 * SECOND, 40 * SECOND, 10 * MINUTE)), self._server_is_back)

    def _server_is_back(self) -> None:
        self._world.note("adversary", "the server is back")
        self._server_down = None
        self._world.trouble()

    def _database_outages(self) -> None:
        self._database_down = True
        self._world.note("adversary", "the database is down")
        self._world.later(self._random.choice((SECOND, 20 * SECOND, 10 * MINUTE)), self._database_is_back)

    def _database_is_back(self) -> None:
        self._world.note("adversary", "the database is back")
        self._database_down = False
        self._world.database_troubles.append(self._world.clock.now)
        self._world.trouble()

    def _clock_steps(self) -> None:
        step = self._random.choice((-5, -2 * SECOND, -MINUTE, -HOUR, MINUTE, HOUR, 2 * DAY, 0))
        offset = 0 if step == 0 else self._world.clock.server_offset + step
        self._world.note("adversary", f"the server's clock is {offset} ms off")
        self._world.clock.server_offset = offset
        self._fastest = max(self._fastest, offset)
        self._world.trouble()

    def _edits(self) -> None:
        process = self._random.choice(self._world.processes)
        admin = Admin(self._world, process)
        self._world.scheduler.spawn(admin.name, admin.run, process)

    def _jumps(self) -> None:
        self._world.clock.now += self._random.choice((MINUTE, 20 * MINUTE, 3 * HOUR, DAY))
        self._world.note("adversary", "time flies")
        self._world.database_troubles.append(self._world.clock.now)
        self._world.trouble()
