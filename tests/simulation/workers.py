"""What the workers of a site do: they ask for money, spend it in one go or in many, forget, repeat and come late."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from coreason_budget import BudgetExceededError, BudgetUnavailableError, ChargeConflictError, HoldClosedError
from coreason_budget.exceptions import RefundError, ResetError
from coreason_budget.ledger import steps
from coreason_budget.ledger.database import in_request
from coreason_budget.ledger.resets import Reset
from coreason_budget.ledger.steps import Twin
from coreason_budget.money import to_nanos, to_usd
from coreason_budget.periods import Period, to_ms
from coreason_budget.scopes import subject_of_key

from . import limits, windows
from .clock import HOUR, MINUTE, SECOND

if TYPE_CHECKING:
    from random import Random

    from coreason_budget.ledger.steps import Operation

    from .process import Process
    from .scheduler import Scheduler
    from .world import World

__all__ = ["Accepted", "Admin", "Worker"]

#: The unit of the amounts of a world, in nano-USD.
CENT: Final = 10_000_000


@dataclass(frozen=True, slots=True)
class Think:
    """A wait of a worker, in the time of the world."""

    scheduler: Scheduler
    ms: int

    def perform(self, context: object) -> None:
        """Wait."""
        self.scheduler.park(self.ms)

    async def aperform(self, context: object) -> None:
        """Wait. See perform()."""
        await self.scheduler.apark(self.ms)


@dataclass(frozen=True, slots=True)
class Accepted:
    """A charge that was accepted, with the process that knows of it."""

    charge_id: str
    cost: int
    process: Process


class Worker:
    """One task of a process: a request, a command or a job of a queue."""

    def __init__(self, world: World, process: Process, number: int) -> None:
        self._world = world
        self._random: Random = world.random
        self._process = process
        self._number = number
        self._budget = process.budget
        self._is_in_the_way = False  # of others who need the database
        self.name = f"{process.name}#{number}"

    # driving ---------------------------------------------------------------------------------------------------------

    def run(self) -> None:
        """Work, on a thread, maybe in a transaction."""
        with ExitStack() as stack:
            if not self._world.never_waits and self._world.extras.random() < self._world.profile.transactions:
                self._is_in_the_way = stack.enter_context(self._world.transactions.entered())
            steps.run(self._script(), self._process.budget.ledger)

    async def arun(self) -> None:
        """Work, on an event loop. See run()."""
        await steps.arun(self._script(), self._process.budget.ledger)

    def _script(self) -> Operation[None]:
        in_request.set(self._world.never_waits or self._random.random() < 0.5)
        kinds = {"call": 10, "bare": 4, "check": 1, "status": 1, "refund": 1}
        if self._world.resets:
            kinds["reset"] = 3
        (kind,) = self._random.choices(list(kinds), list(kinds.values()))
        user, project = self._random.choice(self._world.callers)
        script = getattr(self, f"_{kind}")(user, project)
        self._world.note(self.name, f"{kind} by {user!r}, {project!r}")
        try:
            yield from script
        except BudgetExceededError as error:
            self._world.note(self.name, f"refused: {error}")
        except BudgetUnavailableError as error:
            self._world.note(self.name, f"unavailable: {error}")
            self._world.check_trouble(error)

    # what it does ----------------------------------------------------------------------------------------------------

    def _call(self, user: Any, project: Any) -> Operation[Any]:
        random = self._random
        amount = self._amount()
        if random.random() < 0.15:
            amount = (yield from self._remaining(user, project)) or amount
        ttl = random.choice([5, 20, 20, 120, 600])
        options: dict[str, Any] = {"amount": to_usd(amount), "ttl": ttl}
        if self._world.tops_up:
            options["least"] = self._least(amount)
        hold = yield Twin(self._budget, "reserve", (user, project), options)
        late = random.random() < self._world.profile.late
        for part in range(random.choice([0, 1, 1, 1, 2, 3])):
            yield self._thinking(ttl * SECOND, late=late)
            if random.random() < 0.2:
                try:
                    yield Twin(hold, "extend", (random.choice([20, 120]),))
                except HoldClosedError:
                    self._world.note(self.name, "extend: too late")
            if self._world.tops_up and random.random() < 0.6:
                yield from self._top_up(hold)
            cost = random.choice([amount, amount // 2, amount // 3, amount + 7, 0, self._amount()])
            yield from self._charge(hold, cost, f"c{self._number}.{part}", final=random.random() < 0.3)
        yield self._thinking(ttl * SECOND, late=late)
        (end,) = random.choices(["release", "abandon", "forget"], [8, 1, 2])
        if end == "release":
            yield Twin(hold, "release")
        elif end == "abandon":
            hold.abandon()

    def _top_up(self, hold: Any) -> Operation[Any]:
        more = self._amount() if self._random.random() < 0.8 else self._random.randrange(1, 400) * CENT
        try:
            yield Twin(hold, "top_up", (to_usd(more),), {"least": self._least(more)})
        except (BudgetExceededError, HoldClosedError) as error:
            self._world.note(self.name, f"not topped up: {error}")

    def _least(self, amount: int) -> Any:
        """Return the least that will do: all of an amount, half of it, or whatever there is."""
        least = self._random.choice([None, amount // 2, 0])
        return None if least is None else to_usd(least)

    def _remaining(self, user: Any, project: Any) -> Operation[Any]:
        """Return all that is left, or a nano-dollar more."""
        accounts = yield Twin(self._budget, "status", (user, project))
        left = min((to_nanos(account.remaining) for account in accounts if account.remaining is not None), default=0)
        return left + self._random.choice([0, 1]) if left else 0

    def _charge(
        self, target: Any, cost: int, charge_id: str, *, final: bool = False, who: tuple[Any, ...] | None = None
    ) -> Operation[Any]:
        """Charge, and maybe once more: at once, or hours later by a queue that delivers twice."""
        random, profile = self._random, self._world.profile
        if random.random() < profile.reused_ids and self._world.accepted:
            charge_id = random.choice(self._world.accepted).charge_id
        again = random.random() < profile.redelivered
        for delivery in range(2 if again else 1):
            if delivery:
                yield self._think(random.choice([0, SECOND, MINUTE, HOUR, 7 * HOUR]))
            if who is None:
                charge = Twin(target, "charge", (), {"cost": to_usd(cost), "charge_id": charge_id, "final": final})
            else:
                charge = Twin(target, "charge", (who[0], to_usd(cost), who[1], None, charge_id))
            try:
                receipt = yield charge
            except ChargeConflictError:
                self._world.note(self.name, f"conflict: {charge_id}")
                return
            self._world.note(self.name, f"charged {charge_id}: first {receipt.first}, counted {receipt.counted}")
            if receipt.first:
                self._world.accepted.append(Accepted(charge_id, cost, self._process))

    def _bare(self, user: Any, project: Any) -> Operation[Any]:
        yield self._thinking(SECOND, late=False)
        yield from self._charge(self._budget, self._amount(), f"b{self._number}", who=(user, project))

    def _check(self, user: Any, project: Any) -> Operation[Any]:
        amount = self._random.choice([0, self._amount()])
        yield Twin(self._budget, "check", (user, project, to_usd(amount)))

    def _status(self, user: Any, project: Any) -> Operation[Any]:
        yield Twin(self._budget, "status", (user, project))

    def _refund(self, _user: Any, _project: Any) -> Operation[Any]:
        if not self._world.tables.rows() or not hasattr(self._budget, "refund"):
            return
        charge_id = self._random.choice(sorted(self._world.tables.rows()))
        amount = self._random.choice([None, to_usd(self._amount())])
        try:
            yield Twin(self._budget, "refund", (charge_id, amount))
        except RefundError as error:
            self._world.note(self.name, f"not refunded: {error}")

    def _reset(self, user: Any, project: Any) -> Operation[Any]:
        """Look at what counts somewhere, think, and have less of it count; the form may be sent twice."""
        accounts = yield Twin(self._budget, "status", (user, project))
        seen = self._random.choice([account for account in accounts if account.spent > 0] or [None])
        if seen is None:
            return
        subject, period, spent = f"{seen.scope}:{seen.subject}", Period(seen.period), to_nanos(seen.spent)
        window = windows.window_at(period.code, to_ms(seen.resets_at) - 1, self._world.config.time_zone)
        before = sum(
            row.reset is not None
            and (row.reset.subject, row.reset.code, row.reset.window) == (subject, period.code, window)
            for row in self._world.tables.rows().values()
        )
        to = self._random.choice([0, 0, spent // 2, self._amount()])
        wanted = Reset(subject_of_key(subject), period, window, spent, before + 1, to)
        for _ in range(self._random.choice([1, 1, 2])):
            yield self._thinking(SECOND, late=self._random.random() < self._world.profile.late)
            try:
                yield Twin(self._budget, "drive", (self._budget.guard.reset(wanted),))
            except ResetError as error:
                self._world.note(self.name, f"not reset: {error}")

    def _amount(self) -> int:
        return self._random.randrange(1, 40) * CENT + self._random.randrange(CENT)

    def _thinking(self, ttl: int, *, late: bool) -> Think:
        if late:
            return self._think(ttl + self._random.choice([1, 100, 40 * SECOND, HOUR]))
        return self._think(self._random.choice([0, 50, 800, 3 * SECOND, ttl // 2]))

    def _think(self, ms: int) -> Think:
        if self._is_in_the_way:
            ms = min(ms, 3 * SECOND)
        return Think(self._world.scheduler, ms)


class Admin:
    """Somebody who changes limits; the receivers push them, if they get that far."""

    def __init__(self, world: World, process: Process) -> None:
        self._world = world
        self.name = f"{process.name}#admin"

    def run(self) -> None:
        """Change one limit."""
        random = self._world.random
        subject, period = random.choice(self._world.subjects), random.choice(["day", "day", "week", "month"])
        if subject.startswith("user:") and not subject.removeprefix("user:").isdecimal():
            return
        what = random.choice(["block", "limit", "limit", "unlimited", "delete"])
        nanos = {"block": 0, "unlimited": None}.get(what, random.randrange(20, 300) * CENT)
        self._world.note(self.name, f"{what} {subject} {period} {nanos}")
        try:
            with ExitStack() as stack:
                if self._world.extras.random() < self._world.profile.transactions:
                    stack.enter_context(self._world.transactions.entered())
                if what == "delete":
                    limits.delete(subject, period)
                else:
                    limits.save(subject, period, nanos)
        except limits.DatabaseError as error:
            self._world.note(self.name, f"failed: {error}")
