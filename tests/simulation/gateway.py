"""The server of a world as requests meet it: it runs the ledger's real scripts at the world's time, each audited."""

from __future__ import annotations

from traceback import format_exc
from typing import TYPE_CHECKING, Any, Final

import redis

from coreason_budget.ledger.scripts import parts_of

from . import inspection
from .auditor import BrokenPromiseError
from .clock import SECOND
from .commands import id_in, name_of
from .served import Served
from .stores import KEYS, TICK

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .process import Process
    from .stores import Store
    from .world import World

__all__ = ["Gateway"]

#: Which of a script's keys is a hold.
HOLD_AT: Final = {"reserve": 0, "charge": 1, "release": 0, "extend": 0, "sweep": 0, "refund": 1}
AGED_EVERY: Final = 30 * SECOND


class Gateway:
    """Leads to the first of some stores; with each restart to the next."""

    def __init__(self, world: World, stores: Sequence[Store]) -> None:
        self._world = world
        self._rest = list(stores[1:])
        self.store = stores[0]
        self.store.begin()
        self._aged_at = world.clock.server
        self._journal_time = 0
        self._holds: dict[str, None] = {}
        self._names: list[str] = []
        self._before: inspection.Inspection | None = None

    def move(self) -> bool:
        """Go on with another server, of another run id and empty; False if there is none left."""
        if not self._rest:
            return False
        self.store = self._rest.pop(0)
        self.store.begin()
        self.forget()
        return True

    def forget(self) -> None:
        """Something was changed behind the scripts' back: look again, also at the last id that the journal gave."""
        self._journal_time = 0
        self._before = None

    def accounts(self) -> Iterator[tuple[str, inspection.Account]]:
        """Yield all accounts as they are."""
        found = self._look(self._world.clock.server)
        return ((subject, found.account(subject)) for subject in self._world.subjects)

    def serve(self, args: Sequence[Any], process: Process | None) -> Any:
        """Execute a command at this moment. Errors of the server are returned."""
        try:
            return self._serve(args, process)
        except Exception as error:
            # An operation takes it for an error of its driver.
            if not isinstance(error, BrokenPromiseError):
                self._world.complaints.append(format_exc())
            raise

    def _serve(self, args: Sequence[Any], process: Process | None) -> Any:
        now = self._world.clock.server
        self._age(now)
        if args[0] == "TIME":
            return now // 1000, now % 1000 * 1000
        name = name_of(args)
        if name is None:
            (reply,) = self.store.send(args)
            self._world.auditor.require("no command fails", not isinstance(reply, redis.ResponseError), args, reply)
            return reply
        count = int(args[2])
        keys, argv = args[3 : 3 + count], list(args[3 + count :])
        if name != "ack" and argv[0] == "":
            argv[0] = now
        if name in HOLD_AT:
            self._holds[id_in(keys[HOLD_AT[name]])] = None
        before = self._before or self._look(now)
        inspect = self._inspection()
        *_, reply, text = self.store.send(*self._tell_time(now), (*args[: 3 + count], *argv), inspect)
        self._before = after = inspection.parse(text, self._names)
        if isinstance(reply, redis.exceptions.NoScriptError):
            return reply
        has_failed = isinstance(reply, redis.ResponseError)
        self._world.auditor.require("no script fails", not has_failed, name, keys, argv, reply)
        texts = parts_of(reply)
        served = Served(name, keys, argv, texts, now, before, after, process)
        self._world.note(process.name if process else "late", served)
        self._world.auditor.served(served)
        return reply

    def _look(self, now: int) -> inspection.Inspection:
        *_, text = self.store.send(*self._tell_time(now), self._inspection())
        return inspection.parse(text, self._names)

    def _inspection(self) -> tuple[Any, ...]:
        holds = [hold for hold in self._holds if hold]
        subjects = self._world.subjects
        self._names = [*subjects, *holds]
        keys = [KEYS.journal, KEYS.deadlines, *(KEYS.accounts_prefix + subject for subject in subjects)]
        return inspection.command([*keys, *map(KEYS.hold, holds)], len(subjects))

    def _tell_time(self, now: int) -> Sequence[tuple[Any, ...]]:
        """Return what makes the journal give ids of the world's time; ids that it has passed are refused."""
        if now == self._journal_time:
            return ()
        self._journal_time = now
        return (("XADD", KEYS.journal, f"{now}-0", "mark", "1"), ("XDEL", KEYS.journal, f"{now}-0"))

    def _age(self, now: int) -> None:
        passed = int((now - self._aged_at) / TICK) * TICK
        if abs(passed) >= AGED_EVERY:
            self._aged_at += passed
            for key in self.store.age(now, passed):
                self._world.note("server", f"{key} has come to the end of its life")
                self._world.auditor.lost_key(key)
            self._before = None
