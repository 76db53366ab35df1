"""Runs cases: a world for each seed, on servers, tables and an event loop that they share."""

from __future__ import annotations

import asyncio
import sys
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, Final, Self
from unittest import mock
from uuid import UUID

from coreason_budget import service
from coreason_budget.ledger import records, steps
from coreason_budget.log import logger

from .profiles import PROFILES
from .stores import FakeStore, Stores
from .tables import Tables
from .world import World

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator, Sequence

    from .profiles import Profile
    from .stores import Store

__all__ = ["Case", "Cases", "Kind", "Result"]

#: Of so many seeds in a row that meet the same profile one runs on a fake server, and one twice.
KINDS: Final = 32


class Kind(Enum):
    """How a case is run."""

    MIXED = auto()  # processes of both kinds, on real servers
    FAKE = auto()  # on a fake server
    TWINS = auto()  # twice, with synchronous and with asynchronous processes: the very same must happen


@dataclass(frozen=True, slots=True)
class Case:
    """What decides all that happens: a seed, what goes wrong, and how it is run."""

    seed: int
    profile: Profile
    kind: Kind

    @classmethod
    def of(cls, seed: int) -> Case:
        """Return the case of a seed."""
        round_, place = divmod(seed, len(PROFILES))
        kind = {0: Kind.TWINS, 1: Kind.FAKE}.get(round_ % KINDS, Kind.MIXED)
        return cls(seed, PROFILES[place], kind)


@dataclass(frozen=True, slots=True)
class Result:
    """How a case went: ``failure`` is empty if every promise held."""

    case: Case
    failure: str
    trace: list[tuple[int, str, Any]] = field(repr=False)
    counts: Counter[str] = field(repr=False)


class Cases:
    """What cases share. Enter it once, then run as many as you like."""

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        self._stores = self._stack.enter_context(Stores()).stores
        self._tables = self._stack.enter_context(Tables().installed())
        self._runner = self._stack.enter_context(asyncio.Runner())
        logger.disable("coreason_budget")  # every case would say much of what goes wrong in it
        self._stack.callback(logger.enable, "coreason_budget")
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()

    def run(self, case: Case) -> Result:
        """Run a case."""
        match case.kind:
            case Kind.FAKE:
                with closing(FakeStore()) as store:
                    return self._run(case, [store])
            case Kind.TWINS:
                one = self._run(case, self._stores, is_async=False)
                other = self._run(case, self._stores, is_async=True)
                return one if one.failure else _compared(one, other)
            case _:
                return self._run(case, self._stores)

    def _run(self, case: Case, stores: Sequence[Store], *, is_async: bool | None = None) -> Result:
        self._tables.hook = lambda _: None
        self._tables.empty()
        world = World(
            case.seed, stores, self._tables, loop=self._runner.get_loop(), is_async=is_async, profile=case.profile
        )
        self._tables.hook = world.adversary.database
        failure = ""
        with patched(world):
            try:
                world.run()
            except Exception as error:  # noqa: BLE001  # whatever it is, it has a seed
                failure = f"{type(error).__name__}: {error}"
                world.note("auditor", failure)
            finally:
                world.close()
        return Result(case, failure, world.trace, world.auditor.counts)


def _compared(one: Result, other: Result) -> Result:
    """Return the second of two twins; it has failed if it differs from the first."""
    pairs = zip_longest(*([f"{when} {who}: {what}" for when, who, what in twin.trace] for twin in (one, other)))
    differing = next((pair for pair in pairs if pair[0] != pair[1]), None)
    if differing is None or other.failure:
        return other
    return replace(other, failure=f"11. sync and async do the same: {' | '.join(map(str, differing))}")


@contextmanager
def patched(world: World) -> Iterator[None]:
    """Give the app's modules the world's time and ids, and its receivers the manager of whoever runs."""

    def uuid4() -> UUID:
        return UUID(int=world.ids.getrandbits(128), version=4)

    def token_hex(nbytes: int) -> str:
        return world.ids.randbytes(nbytes).hex()

    async def pause(pause: steps.Pause, _: Any) -> None:
        await world.scheduler.apark(round(pause.seconds * 1000))

    def manager() -> Any:
        task = world.scheduler.current
        assert task is not None
        assert task.process is not None
        return task.process.budget

    def store(bookings: Any) -> Any:
        world.tables.hook("statement")  # nobody can be made to wait within its transaction
        return real_store(bookings)

    real_store = records.store
    fakes = {"uuid4": uuid4, "token_hex": token_hex, "monotonic": world.clock.seconds}
    with ExitStack() as stack:
        for name, module in list(sys.modules.items()):
            if name.startswith("coreason_budget."):
                for attribute, fake in fakes.items():
                    if hasattr(module, attribute):
                        stack.enter_context(mock.patch.object(module, attribute, fake))
        stack.enter_context(mock.patch.object(steps.Pause, "aperform", pause))
        stack.enter_context(mock.patch.object(records, "store", store))
        stack.enter_context(mock.patch.object(service, "manager", manager))
        yield
