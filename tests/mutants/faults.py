"""Deliberate faults of the ledger: texts of its files, each with what somebody might have written instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["FAULTS", "Fault"]


@dataclass(frozen=True, slots=True)
class Fault:
    """In a file of ``coreason_budget/ledger`` one text, which is there once, is replaced by another.

    It is looked for in cases from the seed ``first`` on, in ``every`` so manieth.
    """

    name: str
    file: str
    text: str
    instead: str
    first: int = 100
    every: int = 1

    def __str__(self) -> str:
        return self.name


PRELUDE: Final = "lua/prelude.lua"
RESERVE: Final = "lua/reserve.lua"
CHARGE: Final = "lua/charge.lua"
BEGIN: Final = "lua/rebuild_begin.lua"
END: Final = "lua/rebuild_end.lua"

#: Seeds of cases in which limits are edited much.
LIMITS: Final = (6, 16)

FAULTS: Final = (
    Fault("no generation guard", PRELUDE, "      if a.g == generations[i] then", "      if true then"),
    Fault("no run id on accounts", PRELUDE, "a.mine = a.e == run", "a.mine = a.e ~= nil"),
    Fault("no run id on holds", CHARGE, "if state == 'open' and hold[3] ~= run then state = nil end", ""),
    Fault("no doubt", PRELUDE, "    redis.call('HSET', key, 'doubt', '1')\n", ""),
    Fault("a doubt that a rebuild under way overlooks", PRELUDE, "    redis.call('HINCRBY', key, 'n', 1)\n", ""),
    Fault("no floor", BEGIN, "if ARGV[4] ~= '' then", "if false then"),
    Fault("an account that is begun again keeps what it spent", BEGIN, "  redis.call('DEL', key)\n", ""),
    Fault("a rebuild of another incarnation", END, " or a.inc ~= ARGV[4]", ""),
    Fault("a rebuild after a verdict", END, "if a.n ~= ARGV[5] then", "if false then"),
    Fault("a hold released twice", "lua/release.lua", "  close(KEYS[1], KEYS[2], id)\n", ""),
    Fault("no tombstone", "lua/release.lua", "  redis.call('HSET', KEYS[1], 'st', 'closed', 'left', '0')\n", ""),
    Fault("minus zero", PRELUDE, "if tonumber(amount) ~= 0 then redis.call('HINCRBY', key, field, amount) end",
          "redis.call('HINCRBY', key, field, amount)"),
    Fault("a refusal that increments", RESERVE, "if worst then\n",
          "if worst then\n  add(accounts[1].key, 'h', amount)\n"),
    Fault("a retry that holds twice", RESERVE, "if ttl > 0 then\n  local hold", "if false then\n  local hold"),
    Fault("what is held does not count", RESERVE,
          "sum + held + amount <= tonumber(cap)", "sum + amount <= tonumber(cap)"),
    Fault("one nano-dollar too many", RESERVE, "sum + held + amount <= tonumber(cap)",
          "sum + held + amount <= tonumber(cap) + 1"),
    Fault("a window rolled early", PRELUDE,
          "if t < window[6] then return 2 end", "if t < window[6] - 1000 then return 2 end"),
    Fault("a window never rolled", CHARGE,
          "if a.mine then roll(a, windows, t) end", "if false then roll(a, windows, t) end"),
    Fault("windows that move back", PRELUDE, "local t = now\n", "local t = now\n  if t then return t end\n"),
    Fault("a charge id that nobody remembers", CHARGE, "remember(KEYS[1], nonce, cost, who, answer, memory)", ""),
    Fault("a repeated charge id of another cost", CHARGE,
          "if its_cost ~= cost or its_accounts ~= who then return {'conflict'} end", ""),
    Fault("a late charge without a refund", CHARGE, "if state == 'expired' and", "if state == 'none' and"),
    Fault("a charge that takes all of its hold", CHARGE,
          "if not final and tonumber(cost) < tonumber(freed) then freed = cost end", ""),
    Fault("a threshold told by every charge", CHARGE, "redis.call('HSET', a.key, p.k, crossed[#crossed])", ""),
    Fault("limits of any version", "lua/limits.lua",
          "if redis.call('HGET', key, 'lv') ~= ARGV[2] then return {'superseded'} end", "", *LIMITS),
    Fault("limits that a rebuild brings back", END,
          "if a.lv == ARGV[6] then set_limits", "if true then set_limits", *LIMITS),
    Fault("an expired hold that is still held", "lua/sweep.lua", "unhold(accounts, split(hold[4]), left)\nfor", "for"),
    Fault("a hold swept early", "lua/sweep.lua", "> now then return {'due'", "> now + 60000 then return {'due'"),
    Fault("an extended hold in the old generation", "lua/extend.lua", "renew(accounts, generations, hold[2])\n", ""),
    Fault("an entry of another charge removed", "lua/ack.lua", "fields[j + 1] == charge then", "true then"),
    Fault("an entry removed before it is written", "journal.py", "        try:\n            hows = store(bookings)\n",
          '        self._ledger.run(self._ack([(one, "same") for one in bookings if one.journal_id]))\n'
          "        try:\n            hows = store(bookings)\n"),
    Fault("what cannot be written is forgotten", "journal.py",
          "        self._pending.extendleft(reversed(batch))\n", ""),
    Fault("uncounted records without a doubt", "journal.py",
          '            yield from ledger.call("ack", keys, ["", charge.charge_id, "doubt", indexes])\n', ""),
    Fault("a rebuild without the journal", "rebuild.py",
          "    for booking in merged.values():", "    for booking in ():"),
    Fault("a rebuild that counts twice", "records.py", "    if without:\n", "    if not without:\n"),
    Fault("a rebuild without a watermark", "records.py",
          "counted = Q(journal_id__lte=journal_number(point)) | Q(journal_id__isnull=True)", "counted = Q()"),
    Fault("uncounted records in no sum", "records.py", " | Q(journal_id__isnull=True)", ""),
    Fault("a charge lost when Redis does not answer", "redis.py",
          "            yield Write(self.journal.writer([Booking(charge, None, self.now())]))\n            return",
          "            return"),
    Fault("a record under another id is the same", "records.py",
          '"same" if before[charge_id] == number else "other"', '"same"'),
)  # fmt: skip
