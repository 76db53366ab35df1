"""
A world: a site with its processes, a server, a database, and somebody who wishes it ill.

All that happens in it follows from a seed.
"""

from __future__ import annotations

from datetime import date
from itertools import cycle
from random import Random
from typing import TYPE_CHECKING, Any, Final

from coreason_budget import ANONYMOUS, BudgetConfig
from coreason_budget.money import to_usd

from . import windows
from .adversary import Adversary
from .auditor import Auditor, BrokenPromiseError
from .clock import DAY, HOUR, MINUTE, SECOND, Clock
from .ears import Ears
from .gateway import Gateway
from .limits import LimitBook
from .process import Process
from .rest import Rest
from .scheduler import Scheduler
from .stores import PREFIX
from .transactions import Transactions
from .workers import CENT, Accepted, Worker

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable, Collection, Sequence

    from coreason_budget.exceptions import BudgetUnavailableError

    from .profiles import Profile
    from .stores import Store
    from .tables import Tables

__all__ = ["World"]

MILLION: Final = 1_000_000
#: From this seed on windows are reset too.
RESETS: Final = 100 * MILLION
CALLS: Final = (5, 8, 11)
#: How long after something went wrong operations may fail: until all that waits has timed out.
TROUBLE_LASTS: Final = 90 * SECOND
STEPS_AT_MOST: Final = 60_000
USERS: Final = (1, 2, ANONYMOUS)
ZONES: Final = ("UTC", "UTC", "Europe/Berlin", "America/Asuncion", "Asia/Kathmandu")
#: Their midnights begin a day, a week, a month, a year; or clocks change that day, in Asuncion at midnight.
DAYS: Final = (
    date(2030, 3, 13), date(2030, 3, 18), date(2030, 4, 1), date(2031, 1, 1), date(2030, 3, 31), date(2030, 10, 6)
)  # fmt: skip


class World:
    """One case. Asynchronous processes run on ``loop``; without one there are none."""

    def __init__(
        self,
        seed: int,
        stores: Sequence[Store],
        tables: Tables,
        *,
        loop: asyncio.AbstractEventLoop | None = None,
        is_async: bool | None = None,
        profile: Profile,
        tolerated: Collection[str] = (),
    ) -> None:
        self.seed = seed
        self.random = Random(seed)
        self.ids = Random(f"ids of {seed}")
        self.extras = Random(f"extras of {seed}")  # so that what is new leaves all else as it was
        self.profile = profile
        self.tops_up = seed // MILLION % 2 == 1  # so that older seeds go on to mean what they did
        self.resets = seed >= RESETS
        self.never_waits = is_async is not None
        self._is_async = is_async
        self._loop = loop
        self.tables = tables
        self.tolerated = tolerated
        self.trace: list[tuple[int, str, Any]] = []
        self.complaints: list[str] = []
        projects = [project for project in profile.projects if project]
        self.callers = [(user, project) for user in USERS for project in profile.projects]
        self.visitors = [*zip(USERS, cycle(projects), strict=False)]  # they call on every account
        self.subjects = (*(f"user:{user}" for user in USERS), *(f"project:{name}" for name in projects), "global:")
        self.config = self._make_config()
        self.clock = Clock(self._make_start())
        self.scheduler = Scheduler(self.random, self.clock, loop, tables.connect)
        self.transactions = Transactions(self)
        self.gateway = Gateway(self, stores)
        self.limits = LimitBook(self)
        self.auditor = Auditor(self)
        self.adversary = Adversary(self)
        self.ears = Ears(self)
        self.firsts: dict[tuple[str, str, str], set[str]] = {}
        self.accepted: list[Accepted] = []
        self.database_troubles: list[int] = []
        self.has_lost_data = False
        self.has_interrupted = False
        self._trouble_at = 0
        self._born = 0
        self.processes = [self._bear() for _ in range(self.random.choice((1, 2, 3)))]

    # what it is like -------------------------------------------------------------------------------------------------

    def _make_config(self) -> BudgetConfig:
        random = self.random
        limits: dict[str, int | None] = {
            "daily_user": random.randrange(40, 160),
            "daily_project": random.choice((None, random.randrange(60, 250))),
            "daily_global": random.choice((None, random.randrange(80, 350))),
            "weekly_user": random.choice((None, None, random.randrange(80, 200))),
            "monthly_user": random.choice((None, None, random.randrange(100, 250))),
            "weekly_project": random.choice((None, None, random.randrange(100, 300))),
            "monthly_global": random.choice((None, random.randrange(150, 400))),
        }
        amounts = {name: None if limit is None else to_usd(limit * CENT) for name, limit in limits.items()}
        return BudgetConfig(
            redis_url="redis://simulated.invalid",
            key_prefix=PREFIX,
            time_zone=random.choice(ZONES),
            expired_holds=random.choice(("charge", "charge", "release")),
            charge_id_ttl=random.choice((60, 3600)),
            database_work="thread",
            database_timeout=random.choice((2, 10)),
            log_path="",
            **{f"{name}_limit_usd": amount for name, amount in amounts.items()},
        )

    def _make_start(self) -> int:
        start = windows.midnight(self.random.choice(DAYS), self.config.time_zone)
        if self.random.random() < self.profile.at_midnight:
            return start - self.random.choice((1, 50, 2 * SECOND, 20 * SECOND, MINUTE, 10 * MINUTE))
        return start + self.random.randrange(20 * HOUR)

    def _bear(self) -> Process:
        self._born += 1
        skew = 0
        if self.random.random() < self.profile.skewed:
            skew = self.random.choice((-3 * DAY, -HOUR, -5 * SECOND, 5 * SECOND, 2 * HOUR, 3 * DAY))
        is_async = self.random.random() < 0.5
        if self._is_async is not None:
            is_async = self._is_async
        return Process(self, f"p{self._born}", self.config, skew=skew, is_async=is_async and self._loop is not None)

    # what happens ----------------------------------------------------------------------------------------------------

    def note(self, who: str, what: Any) -> None:
        """Remember for the trace."""
        self.trace.append((self.clock.now, who, what))

    def trouble(self) -> None:
        """Something goes wrong now; for a while operations may fail."""
        self._trouble_at = self.clock.now

    def check_trouble(self, error: BudgetUnavailableError) -> None:
        """Check that there is a reason why an operation has failed."""
        since = self.clock.now - self._trouble_at
        self.auditor.require("12. what is there is available", since <= TROUBLE_LASTS, error, f"{since} ms of peace")

    def database_failed_since(self, instant: int) -> bool:
        """Whether the database was down, slow or failed at or after an instant."""
        return bool(self.database_troubles) and self.database_troubles[-1] >= instant

    def later(self, ms: int, work: Callable[[], Any]) -> None:
        """Have something happen after so many ms."""
        self.scheduler.spawn("later", work, after=ms)

    def send_later(self, ms: int, args: Sequence[Any]) -> None:
        """Have a command executed that nobody waits for, if the server still runs then."""
        run = self.gateway.store.run_id
        self.later(ms, lambda: self.gateway.serve(args, None) if self.gateway.store.run_id == run else None)

    def lose_data(self) -> None:
        """The server has lost something."""
        self.has_lost_data = True
        self.gateway.forget()
        self.trouble()

    def kill(self, process: Process) -> None:
        """End a process with SIGKILL, and start another."""
        process.dead = True
        self.transactions.drop(process)
        stopped = self.scheduler.kill(process)
        self.note("adversary", f"kills {process.name} with {stopped} tasks")
        self.processes.remove(process)
        self.processes.append(self._bear())
        self.trouble()

    def interrupt(self) -> None:
        """
        Stop one worker with an exception: a time limit, a client that has gone.

        Not in worlds that are compared: a thread stops where it is, a cancelled task first finishes what it must.
        """
        if self.never_waits:
            return
        workers = [task for task in self.scheduler.tasks if "#" in task.name]
        if workers:
            task = self.random.choice(workers)
            self.has_interrupted = True
            self.note("adversary", f"interrupts {task.name}")
            self.scheduler.interrupt(task)

    # its life --------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Live until all is quiet. Raise BrokenPromiseError."""
        todo = self.random.choice(CALLS)
        steps = 0
        while todo or self._is_busy():
            steps += 1
            self.auditor.require("12. everything ends", steps < STEPS_AT_MOST, steps)
            if todo and self.random.random() < 0.15:
                todo -= 1
                self._employ(todo)
            if todo or self.random.random() < 0.2:
                self.adversary.act()
            self.step()
        self.adversary.rest()
        Rest(self).settle()

    def step(self) -> bool:
        """Let one thing happen; False if there is nothing."""
        happened = self.scheduler.step()
        if self.complaints:
            raise BrokenPromiseError(self.complaints[0])
        for task in self.scheduler.take_finished():
            if task.error is not None and not isinstance(task.error, SystemExit):
                raise task.error
        return happened

    def _employ(self, number: int) -> None:
        process = self.random.choice(self.processes)
        worker = Worker(self, process, number)
        if process.is_async:
            self.scheduler.spawn_async(worker.name, worker.arun, process)
        else:
            self.scheduler.spawn(worker.name, worker.run, process)

    def _is_busy(self) -> bool:
        return any("#" in task.name for task in self.scheduler.tasks)

    def close(self) -> None:
        """End all that still goes on."""
        self.ears.close()
        self.scheduler.close()
