"""What the server of a world must hold, in plain Python: holds, what is remembered of charges, the journal."""

from __future__ import annotations

from collections import Counter
from copy import deepcopy
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from coreason_budget.ledger.scripts import journal_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .process import Process
    from .tables import Reset, Row
    from .windows import Span

__all__ = ["Booked", "Entry", "Hold", "Memory", "Server", "Truth"]


@dataclass(slots=True)
class Hold:
    """
    A hold: the ``amount`` that it was made with, and what it was ``topped_up`` by, by nonce.

    ``generations`` are those of its accounts that it counts in.
    """

    amount: int
    left: int
    accounts: tuple[str, ...]
    generations: dict[str, str]
    run: str
    deadline: int
    policy: str
    state: str = "open"
    rest: int = 0
    topped_up: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Entry:
    """A booking in the journal."""

    charge_id: str
    cost: int
    subjects: tuple[str, ...]
    at: int
    hold_id: str
    kind: str
    journal_id: str
    reset: Reset | None = None

    @property
    def number(self) -> int:
        return journal_number(self.journal_id)


@dataclass(frozen=True, slots=True)
class Memory:
    """What is remembered of a charge id."""

    nonce: str
    cost: str
    accounts: tuple[str, ...]
    answer: str


@dataclass
class Server:
    """The data of the server."""

    run: str
    holds: dict[str, Hold] = field(default_factory=dict)
    memory: dict[str, Memory] = field(default_factory=dict)
    journal: dict[str, Entry] = field(default_factory=dict)
    deadlines: set[str] = field(default_factory=set)
    opened: set[str] = field(default_factory=set)
    leaks: Counter[tuple[str, str]] = field(default_factory=Counter)

    def copy(self) -> Server:
        """Return what an old dump of this moment brings back."""
        return replace(
            self,
            holds=deepcopy(self.holds),
            memory=dict(self.memory),
            journal=dict(self.journal),
            deadlines=set(self.deadlines),
            opened=set(),
            leaks=Counter(self.leaks),
        )

    def held(self, account: str, generation: str) -> int:
        """Return what is held of an account in one of its generations."""
        if not generation:
            return 0
        live = sum(
            hold.left
            for hold in self.holds.values()
            if hold.state == "open" and hold.run == self.run and hold.generations.get(account) == generation
        )
        return live + self.leaks[account, generation]

    def forget_hold(self, hold_id: str) -> None:
        """Lose the record of a hold: what it holds stays held until the generation of its accounts has passed."""
        hold = self.holds.pop(hold_id, None)
        if hold is not None and hold.state == "open" and hold.run == self.run:
            for account, generation in hold.generations.items():
                self.leaks[account, generation] += hold.left


@dataclass(slots=True)
class Booked:
    """
    What became of a charge id: by whom the answer was heard, and whether the journal has lost it.

    ``makers`` are the processes whose memory has it.
    """

    entry: Entry
    times: int = 1
    makers: list[Process] = field(default_factory=list)
    is_endangered: bool = False


@dataclass
class Truth:
    """
    What was spent: all that the journal and the database have.

    A row is ``unsettled`` for accounts that need not count it yet: it came into the database while the journal did
    not have it, and the server has neither been told nor summed the account since. ``floating`` is what the journal
    has lost and only the memory of a process may still have.
    """

    server: Server
    rows: dict[str, Row] = field(default_factory=dict)
    unsettled: dict[str, dict[str, int]] = field(default_factory=dict)
    floating: dict[str, Entry] = field(default_factory=dict)

    def parts(self, account: str, span: Span) -> Iterator[tuple[int, bool]]:
        """Yield each amount that counts in a window of an account, and whether it must."""
        first: dict[str, Entry] = {}
        for entry in self.server.journal.values():
            is_first = first.setdefault(entry.charge_id, entry) is entry
            if nanos := counted(entry, account, span):
                yield nanos, is_first and not self._has_other_row(entry)
        for charge_id, row in self.rows.items():
            nanos, twin = counted(row, account, span), first.get(charge_id) or self.lost_twin(row)
            if not nanos:
                continue
            if twin is None:
                yield nanos, account not in self.unsettled.get(charge_id, ())
            elif twin.number != row.journal_id:
                # It was booked again when its id was forgotten. Either counts, until the later one is found out.
                yield nanos, nanos == counted(twin, account, span)
        for charge_id, entry in self.floating.items():
            kept = self.rows.get(charge_id)
            is_gone = charge_id not in first and (kept is None or self.lost_twin(kept) is not None)
            if is_gone and (nanos := counted(entry, account, span)):
                yield nanos, False

    def lost_twin(self, row: Row) -> Entry | None:
        """Return the other entry of what was booked twice, if the journal lost it before it was compared."""
        entry = self.floating.get(row.charge_id)
        return entry if entry is not None and row.journal_id and row.journal_id != entry.number else None

    def _has_other_row(self, entry: Entry) -> bool:
        row = self.rows.get(entry.charge_id)
        return row is not None and row.journal_id != entry.number

    def bounds(self, account: str, span: Span) -> tuple[int, int]:
        """Return the least and the most that an account must say it has spent in a window."""
        low = high = 0
        for cost, is_firm in self.parts(account, span):
            if is_firm:
                low += cost
                high += cost
            elif cost < 0:
                low += cost
            else:
                high += cost
        return low, high


def counted(booking: Entry | Row, account: str, span: Span) -> int:
    """Return how much a booking counts in a window of an account, in nano-USD."""
    if booking.reset is not None:
        meant = (booking.reset.subject, booking.reset.code, booking.reset.window)
        return booking.reset.nanos if meant == (account, span.code, span.name) else 0
    return booking.cost if account in booking.subjects and span.start <= booking.at < span.end else 0
