"""The figures: time as a multiple of a bare question to the store, traffic at the wire, and what a crowd spends."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import count, product
from statistics import median
from typing import TYPE_CHECKING, Final
from urllib.parse import urlsplit

from ..tables import Row, spread
from .adapters.turns import WIDE
from .environments import UnavailableError
from .players import Player
from .wire import CountingProxy, Traffic

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ..stage import Options
    from .roster import Entry

__all__ = ["Contender", "crowd_rows", "take_turns", "time_rows", "traffic", "wire_rows"]

PART: Final = "peers"
#: Who asks at once for what, against which limit, both in USD; and how often the crowd comes.
CALLERS: Final = 64
AMOUNT: Final = "0.10"
LIMIT: Final = "1.00"
CROWDS: Final = 5
WARM_UP: Final = 3
#: How many calls are watched at the wire.
WATCHED: Final = 5

_numbers = count(1)


@dataclass(slots=True)
class Contender:
    """A peer in the run, and the µs of its turns: a bare question and a call, of each way, round by round."""

    entry: Entry
    player: Player
    store: str
    times: dict[str, list[tuple[float, float]]] = field(default_factory=dict)

    def name(self, way: str) -> str:
        """Return how a row calls it."""
        return f"{self.entry.name} {self.player.version}, {way}"

    def kinds(self) -> list[str]:
        """Return its ways that are not only variants of others."""
        return [way for way in self.player.ways if way not in self.player.variants]

    def take_turn(self, calls: int) -> None:
        """Time this many calls, each way."""
        for way in self.player.ways:
            self.times.setdefault(way, []).append(self.player.turn(way, calls))

    def warm_up(self) -> None:
        """Open an account and call it a few times."""
        self.player.open(f"user-{next(_numbers)}", WIDE)
        for way in self.player.ways:
            self.player.turn(way, WARM_UP)


def take_turns(contenders: Sequence[Contender], options: Options) -> dict[str, UnavailableError]:
    """Time all in every round, so that a slow moment of the machine hits all; return who failed, by name, and why."""
    failed: dict[str, UnavailableError] = {}
    for turn, contender in product(range(options.rounds + 1), contenders):
        if contender.entry.name in failed:
            continue
        try:
            if turn == 0:
                contender.warm_up()
            else:
                contender.take_turn(options.calls)
        except UnavailableError as reason:
            failed[contender.entry.name] = reason
    return failed


def time_rows(contender: Contender) -> Iterator[Row]:
    """Return what a call takes, both its halves."""
    for way, times in contender.times.items():
        pings = contender.times[contender.player.variants.get(way, way)]
        calls = [call for _, call in times]
        ratios = [call / ping for call, (ping, _) in zip(calls, pings, strict=True)]
        is_first = way == contender.player.ways[0]
        note = f"{contender.player.client}; {contender.entry.note}" if is_first else ""
        yield Row(PART, contender.name(way), median(calls), "µs", median(ratios), spread(ratios), note)


def traffic(contender: Contender, way: str) -> tuple[Traffic, Traffic, Traffic]:
    """Return what one call sends to ask, to book and in the background, the median of a few."""
    url = urlsplit(contender.store)
    assert url.port is not None  # noqa: S101 - the run made it
    with ExitStack() as stack:
        proxy = stack.enter_context(CountingProxy(url.port, contender.entry.store))
        through = contender.store.replace(f":{url.port}", f":{proxy.port}")
        entry = contender.entry
        player = stack.enter_context(Player(entry.module, entry.python(), through, paths=entry.paths()))
        player.open(f"user-{next(_numbers)}", WIDE)
        player.turn(way, WARM_UP)
        watched = [player.watched(way, proxy) for _ in range(WATCHED)]
    asked, booked, later = (
        Traffic(round(median(one.commands for one in part)), round(median(one.trips for one in part)))
        for part in zip(*watched, strict=True)
    )
    return asked, booked, later


def wire_rows(contender: Contender) -> Iterator[Row]:
    """Return what a caller waits for in one call."""
    for way in contender.kinds():
        asked, booked, later = traffic(contender, way)
        commands = asked.commands + booked.commands
        note = f"{commands} command{'s'[commands == 1 :]}; {_told('asking', asked)}, {_told('booking', booked)}"
        if later.trips:
            note += f"; behind the caller's back {later.commands} in {later.trips}"
        trips = asked.trips + booked.trips
        unit = "round trip" if trips == 1 else "round trips"
        yield Row(PART, f"{contender.name(way)}: waits for", trips, unit, note=note)


def _told(what: str, sent: Traffic) -> str:
    return f"{what} {sent.commands} in {sent.trips}"


def crowd_rows(contender: Contender) -> Iterator[Row]:
    """Return what a crowd spends of a limit: each who is let through has spent its amount, whatever is counted."""
    for way in contender.kinds():
        spent, failed = [], set[str]()
        for _ in range(CROWDS):
            contender.player.open(f"crowd-{next(_numbers)}", LIMIT)
            called, failures = contender.player.crowd(way, CALLERS, AMOUNT)
            spent.append(float(called * Decimal(AMOUNT)))
            failed |= set(failures)
        note = f"{CALLERS} callers at once who want ${AMOUNT} each of ${LIMIT}"
        if failed:
            note += "; refused by errors too: " + "; ".join(sorted(failed))[:200]
        yield Row(PART, f"{contender.name(way)}: a crowd spends", median(spent), "USD", spread=spread(spent), note=note)
