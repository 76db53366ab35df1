"""Deliberate faults of the ledger: texts of its files, each with what somebody might have written instead."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from tests.simulation.profiles import PROFILES

__all__ = ["FAULTS", "FIRST", "Fault"]

#: From here on holds are topped up too.
FIRST: Final = 1_000_000


@dataclass(frozen=True, slots=True)
class Fault:
    """In a file, named as from ``coreason_budget/ledger``, one text, which is there once, is replaced by another.

    It is looked for in cases from the seed ``first`` on, in ``every`` so manieth; first of all by ``tests``, if there
    are some: the simulation sees it seldom or never.
    """

    name: str
    file: str
    text: str
    instead: str
    first: int = FIRST
    every: int = 1
    tests: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.name


PRELUDE: Final = "lua/prelude.lua"
RESERVE: Final = "lua/reserve.lua"
CHARGE: Final = "lua/charge.lua"
BEGIN: Final = "lua/rebuild_begin.lua"
END: Final = "lua/rebuild_end.lua"
PRUNING: Final = "../management/pruning.py"
PRUNED: Final = ("tests/commands/test_prune.py",)
RESET: Final = "lua/reset.lua"
#: From here on windows are reset too.
RESETS: Final = 101_000_000
CONTRACT: Final = ("tests/contract/test_reset.py",)


def _only(profile: str) -> tuple[int, int]:
    """Return where the cases of a profile begin, and how many seeds lie between two of them, and one."""
    names = [profile.name for profile in PROFILES]
    return FIRST + (names.index(profile) - FIRST) % len(names), len(names)


LIMITS: Final = _only("limits")
BOTH_DOWN: Final = _only("both down")
TRANSACTIONS: Final = _only("transactions")

FAULTS: Final = (
    Fault("no generation guard", PRELUDE, "      if a.g == generations[i] then", "      if true then"),
    Fault("no run id on accounts", PRELUDE, "a.mine = a.e == run", "a.mine = a.e ~= nil"),
    Fault("no run id on holds", CHARGE, "if state == 'open' and hold[3] ~= run then state = nil end", ""),
    Fault("no doubt", PRELUDE, "    redis.call('HSET', key, 'doubt', '1')\n", ""),
    Fault("a doubt that a rebuild under way overlooks", PRELUDE, "return int(redis.call('HINCRBY', key, 'n', 1))",
          "return redis.call('HGET', key, 'n')",
          tests=("tests/contract/test_rebuild.py",)),
    Fault("no floor", BEGIN, "if ARGV[4] ~= '' then", "if false then"),
    Fault("an account that is begun again keeps what it spent", BEGIN, "  redis.call('DEL', key)\n", ""),
    Fault("a rebuild of another incarnation", END, " or a.inc ~= ARGV[4]", ""),
    Fault("a rebuild that is begun again under the same name", BEGIN, "local incarnation = nonce .. '@' .. L",
          "local incarnation = nonce", tests=("tests/contract/test_rebuild.py",)),
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
          "enter(accounts, windows, t)", ""),
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
    Fault("an expired hold that is still held", "lua/sweep.lua",
          "unhold(accounts, split(hold[4]), left)\nbook", "book"),
    Fault("a hold swept early", "lua/sweep.lua", "> now then return {'due'", "> now + 60000 then return {'due'",
          tests=("tests/contract/test_release_and_expiry.py",)),
    Fault("an extended hold in the old generation", "lua/extend.lua", "renew(accounts, generations, hold[2])\n", "",
          tests=("tests/contract/test_release_and_expiry.py",)),
    Fault("an entry of another charge removed", "lua/ack.lua", "fields[j + 1] == charge then", "true then",
          tests=("tests/contract/test_journal.py",)),
    Fault("an entry removed before it is written", "journal.py", "        try:\n            hows = store(bookings)\n",
          '        self._ledger.run(self._ack([(one, "same") for one in bookings if one.journal_id]))\n'
          "        try:\n            hows = store(bookings)\n"),
    Fault("what cannot be written is forgotten", "journal.py",
          "        self._pending.extendleft(reversed(batch))\n", "", *BOTH_DOWN),
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
    Fault("a watermark that is off by one", "records.py",
          "Q(journal_id__lte=journal_number(point))", "Q(journal_id__lte=journal_number(point) + 1)"),
    Fault("a watermark that leaves out the charge at it", "records.py", "Q(journal_id__lte=", "Q(journal_id__lt=",
          tests=("tests/contract/test_thresholds.py",)),
    Fault("a journal that is read beyond the watermark", "rebuild.py",
          "bookings_of(subject, snapshot.point, MERGED_AT_MOST)", 'bookings_of(subject, "+", MERGED_AT_MOST)'),
    Fault("rows summed before the journal is read", "rebuild.py",
          "    summed: Sum = yield Query(lambda: _sum(ledger, subject, snapshot, merged))\n",
          "    summed: Sum = yield Query(lambda: _sum(ledger, subject, snapshot, {}))\n"
          "    merged = yield from ledger.journal.bookings_of(subject, snapshot.point, MERGED_AT_MOST)\n"
          "    for booking in merged.values():\n"
          "        for period in summed.spent:\n"
          "            window = window_named(period, snapshot.windows[period], ledger.config.time_zone)\n"
          "            summed.spent[period] += booking.charge.cost * _falls_into(booking.at, window)\n"),
    Fault("a window that forgets what was spent in it before", PRELUDE,
          "if a.later and enters(a, windows, t) then a.open = false end", "",
          tests=("tests/contract/test_windows.py",)),
    Fault("a window that is not summed when it is entered", PRELUDE, "if moved and a.later then", "if false then",
          tests=("tests/contract/test_windows.py",)),
    Fault("a sum that does not look ahead", "rebuild.py", '"1" if summed.goes_on else ""', '""',
          tests=("tests/contract/test_windows.py",)),
    Fault("an account that is ahead and counts nothing", PRELUDE, "elseif a.ahead then", "elseif false then",
          tests=("tests/contract/test_windows.py",)),
    Fault("an account that is ahead and gives nothing back", PRELUDE,
          "if (a.mine or a.ahead) and a.g", "if a.mine and a.g",
          tests=("tests/contract/test_windows.py",)),
    Fault("a retry without its id", "redis.py", "                lost = True\n",
          "                lost = True\n"
          '                if name == "charge":\n'
          '                    command = Call(script(name), [f"{keys[0]}x", *keys[1:]], args).command()\n'),
    Fault("no retry", "redis.py", "                if lost:\n                    raise\n", "                raise\n"),
    Fault("a hold that nobody gives back whose reply was lost", "holds.py",
          "if request.ttl and ledger.lost != lost_before", "if False and ledger.lost != lost_before",
          tests=("tests/faults/test_lost_replies.py",)),
    Fault("a hold of somebody who was cancelled", "holds.py",
          "        ledger.lost += 1  # cancelled, or killed, at any step\n", "",
          tests=("tests/faults/test_loops.py",)),
    Fault("records in the caller's transaction", "database.py",
          '        if self._work == "thread" and isolated is None:\n            return None\n',
          '        if self._work == "thread" and isolated is None:\n'
          "            return own if own.in_atomic_block else None\n", *TRANSACTIONS),
    Fault("records that wait for a commit alone", "database.py",
          "            self._writes.submit_later(write, HELD_BACK_SECONDS)\n", "            pass\n", *TRANSACTIONS,
          tests=("tests/database/test_transactions.py",)),
    Fault("sums of the caller's connection", "database.py",
          "        if connection is None:\n            return self._wait(self._submit(work))\n",
          "        if connection is None and not self._connection().in_atomic_block:\n"
          "            return self._wait(self._submit(work))\n"
          "        if connection is None:\n            return _translated(work)\n", *TRANSACTIONS),
    Fault("a period that was never summed", PRELUDE,
          "if (defaults[p.code] or a[p.l]) and a[p.o] ~= '1' then return false end", ""),
    Fault("limits that are never read again", RESERVE, "if not age or age > fresh then",
          "if not age then", *LIMITS, tests=("tests/contract/test_limits.py",)),
    Fault("a used-up account that lets checks through", RESERVE,
          "if tonumber(amount) == 0 then fits = sum + held < tonumber(cap) end", ""),
    Fault("a blocked account that lets calls through after refunds", RESERVE,
          "if tonumber(cap) == 0 then fits = false end", "", tests=("tests/contract/test_refund.py",)),
    Fault("a top-up that is done once more", RESERVE, "if topped[1] then return", "if false then return"),
    Fault("a top-up that forgets what a lost account held", RESERVE,
          "if is_forgotten(a, generations[i]) then held = held + left end", "",
          tests=("tests/contract/test_top_up.py",)),
    Fault("a part that is a nano-dollar too large", RESERVE,
          "amount, worst = int(room), nil", "amount, worst = int(room + 1), nil"),
    Fault("a part of the last account's room", RESERVE, "room = math.min(room, tonumber(cap) == 0",
          "room = math.min(math.huge, tonumber(cap) == 0"),
    Fault("more refunded than is left", "lua/refund.lua",
          "and tonumber(amount) <= tonumber(left)", "and true"),
    Fault("a refund that nobody remembers", "lua/refund.lua",
          "remember(KEYS[1], nonce, cost, who, answer, memory)", ""),
    Fault("a refund that its expired hold does not hear of", PRELUDE,
          "  if hold then add(hold, 'x', minus(amount)) end\n", ""),
    Fault("an expired hold that nobody keeps", "journal.py", "self.writer(booked[-1:])", "self.writer([])"),
    Fault("a charge that is in nobody's memory", "redis.py",
          "            yield Write(self.journal.writer(bookings_of(charge, answer)))\n", "            pass\n"),
    Fault("a swept hold that is swept again", "lua/sweep.lua",
          "redis.call('HSET', KEYS[1], 'st', 'expired', 'left', '0', 'x', left)", ""),
    Fault("a threshold that is told of an account that is not open", CHARGE,
          "local cap = a.open and a[p.o] == '1' and tonumber", "local cap = tonumber"),
    Fault("a threshold that nobody is told", CHARGE, "crossed[#crossed + 1] = percent", "local _ = percent"),
    Fault("orphans that nobody writes", "housekeeping.py",
          "self._ledger.run(self._ledger.journal.drain(self._ledger.config.drain_after))", "pass"),
    Fault("uncounted records that nobody tells of", "housekeeping.py",
          "self._ledger.run(self._ledger.journal.tell())", "pass"),
    Fault("dead holds that nobody ends", "housekeeping.py",
          "for booking in self._ledger.run(self._ledger.journal.sweep()):", "for booking in ():"),
    Fault("counters that nobody proves", "housekeeping.py",
          'self._ledger.run(self._ledger.rebuild(subject, "verify"))', "pass"),
    Fault("a hold given back before its charge is doubted", "journal.py",
          '            yield from ledger.call("ack", keys, ["", charge.charge_id, "doubt", indexes])\n'
          "            if charge.hold_id:\n"
          "                yield from ledger.release(charge.hold_id, ledger.deposit(accounts))\n",
          "            if charge.hold_id:\n"
          "                yield from ledger.release(charge.hold_id, ledger.deposit(accounts))\n"
          '            yield from ledger.call("ack", keys, ["", charge.charge_id, "doubt", indexes])\n',
          tests=("tests/contract/test_reservation_after.py",)),
    Fault("records that are pruned without a sum", PRUNING, "            self._add(day, rows)\n", "", tests=PRUNED),
    Fault("a sum that is counted again with the next batch", PRUNING,
          "                self._sums().filter(pk__in=keys).delete()\n", "                pass\n", tests=PRUNED),
    Fault("records that two prunes count", PRUNING, "if deleted != len(rows):", "if False:", tests=PRUNED),
    Fault("a batch that is half done", PRUNING, "with transaction.atomic(using=alias):", "if alias:", tests=PRUNED),
    Fault("uncounted records that are pruned", PRUNING, "at__lt=self._end, journal_id__isnull=False)",
          "at__lt=self._end)", tests=PRUNED),
    Fault("pruned records that the journal still has", PRUNING,
          "return records.exclude(charge_id__in=self.waiting) if self.waiting else records", "return records",
          tests=PRUNED),
    Fault("refunds that are pruned before what they refund", PRUNING,
          "        records = records.exclude(kind=SpendRecord.Kind.REFUND, at__gte=self._end - _REFUNDS_STAY)\n", "",
          tests=PRUNED),
    Fault("daily sums that nobody asks", "../history.py", '(DailySum, self.of, "of_sums")',
          '(DailySum, self.of & Q(pk=0), "of_sums")', tests=PRUNED),
    Fault("both tables asked one after the other", "../history.py",
          "        for place, *row in each[0].union(*each[1:], all=True):\n            yield place, row\n",
          "        for some in each:\n            for place, *row in some:\n                yield place, row\n",
          tests=PRUNED),
    Fault("resets that are pruned", PRUNING,
          "records = records.exclude(kind=SpendRecord.Kind.ADJUSTMENT, charge_id__startswith=RESET_PREFIX)", "pass",
          tests=PRUNED),
    Fault("a reset of an account that is not open", RESET,
          "if not ready(a, defaults[1]) then return {'missing', '1'} end", "", RESETS),
    Fault("a reset of a window that has ended", RESET, "if window ~= ARGV[5] then", "if false then", RESETS),
    Fault("more reset than counts", RESET, "sum - amount >= tonumber(ARGV[7])", "true", RESETS),
    Fault("a reset of all periods", RESET, "local _, left = spend(a, p, minus(amount))",
          "local left\nfor _, each in ipairs(a.periods) do _, left = spend(a, each, minus(amount)) end", RESETS),
    Fault("a reset that nobody remembers", RESET, "remember(KEYS[1], nonce, minus(amount), who, answer, memory)", "",
          RESETS),
    Fault("a reset after which no threshold is told", RESET, "if told < tonumber(a[p.k] or 0) then", "if false then",
          tests=CONTRACT),
    Fault("a reset after which no refusal is the first", RESET, "redis.call('HDEL', a.key, p.f)\n", "", tests=CONTRACT),
    Fault("a reset that a rebuild forgets", "records.py", "found[period] + resets[period]", "found[period]", RESETS),
    Fault("a reset in the journal that a rebuild forgets", "rebuild.py",
          "    for period, nanos in adjusted(waiting, subject, windows).items():\n        sums[period] += nanos\n", "",
          RESETS),
    Fault("a reset of everybody's account", "adjustments.py", "if each.subject == subject and", "if", RESETS),
    Fault("a second reset that is told to have been one", "corrections.py", "    return kept\n", "    return True\n",
          tests=CONTRACT),
)  # fmt: skip
