"""What a server holds at an instant, as the auditor sees it: accounts, holds, and how much there is of the rest."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from hashlib import sha1
from typing import TYPE_CHECKING, Any, Final

from coreason_budget.periods import PERIODS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Account", "HoldRecord", "Inspection", "PeriodState", "command", "parse"]

#: KEYS: journal, deadlines, accounts, holds; ARGV: how many accounts. One line for each, fields separated by blanks.
#: Marks that a refusal may leave are not among the fields, nor in their number.
SCRIPT: Final = """
local lines = {redis.call('XLEN', KEYS[1]) .. ' ' .. redis.call('ZCARD', KEYS[2]) .. ' ' .. redis.call('DBSIZE')}
local fields = {'e', 'g', 'gp', 'gt', 'doubt', 'h', 'hp', 'n', 'inc', 't', 'v', 'lv', 'la', 'later'}
for _, p in ipairs({'d', 'w', 'm'}) do
  for _, f in ipairs({'w', 's', 'o', 'k', 'l'}) do fields[#fields + 1] = f .. p end
end
for i = 3, #KEYS do
  local v
  if i <= ARGV[1] + 2 then
    v = redis.call('HMGET', KEYS[i], unpack(fields))
    local marks = redis.call('HMGET', KEYS[i], 'fd', 'fw', 'fm', 'lr')
    local size = redis.call('HLEN', KEYS[i])
    for j = 1, 4 do if marks[j] then size = size - 1 end end
    v[#v + 1] = size
  else
    v = redis.call('HMGET', KEYS[i], 'st', 'left', 'x', 'e', 'dl', 'g')
  end
  for j = 1, #v do if not v[j] then v[j] = '' end end
  lines[#lines + 1] = table.concat(v, ' ')
end
return table.concat(lines, '\\n')
"""
SHA: Final = sha1(SCRIPT.encode(), usedforsecurity=False).hexdigest()


@dataclass(frozen=True, slots=True)
class PeriodState:
    """One period of an account. ``limit`` is its override as the server keeps it."""

    window: str
    spent: int
    verified: bool
    told: int
    limit: str


@dataclass(frozen=True, slots=True)
class Account:
    """An account as the server keeps it. Empty texts stand for fields that are not there."""

    run: str
    generation: str
    generation_before: str
    doubt: bool
    held: int
    held_before: int
    verdicts: str
    incarnation: str
    later: bool
    periods: dict[str, PeriodState]

    @property
    def exists(self) -> bool:
        return bool(self.incarnation)


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """A hold as the server keeps it."""

    state: str
    left: int
    rest: int
    run: str
    deadline: int
    generations: tuple[str, ...]


@dataclass(slots=True)
class Inspection:
    """Everything at one instant. ``lines`` are compared to tell whether anything has changed."""

    sizes: str
    lines: dict[str, str] = field(default_factory=dict)

    def account(self, subject: str) -> Account:
        return _account(self.lines[subject])

    def hold(self, hold_id: str) -> HoldRecord:
        return _hold(self.lines[hold_id])

    @property
    def journal_length(self) -> int:
        return int(self.sizes.split(" ")[0])


def command(keys: Sequence[str], accounts: int) -> tuple[Any, ...]:
    """Return the command that inspects keys: journal, deadlines, so many accounts, holds."""
    return ("EVALSHA", SHA, len(keys), *keys, accounts)


def parse(text: str, names: Sequence[str]) -> Inspection:
    """Read the reply; ``names`` are those of the accounts and holds that were asked for."""
    sizes, *lines = text.split("\n")
    return Inspection(sizes, dict(zip(names, lines, strict=True)))


@lru_cache(maxsize=256)
def _account(line: str) -> Account:
    run, g, gp, _gt, doubt, h, hp, n, inc, _t, _v, _lv, _la, later, *rest = line.split(" ")
    states = {}
    for i, period in enumerate(PERIODS):
        window, spent, verified, told, limit = rest[5 * i : 5 * i + 5]
        states[period.code] = PeriodState(window, int(spent or 0), verified == "1", int(told or 0), limit)
    return Account(run, g, gp, doubt == "1", int(h or 0), int(hp or 0), n, inc, later == "1", states)


@lru_cache(maxsize=256)
def _hold(line: str) -> HoldRecord:
    state, left, rest, run, deadline, generations = line.split(" ")
    return HoldRecord(state, int(left or 0), int(rest or 0), run, int(deadline or 0), tuple(generations.split(",")))
