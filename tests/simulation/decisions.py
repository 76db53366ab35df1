"""The auditor's rules of the scripts that decide and move money: reserve, charge, release, extend, sweep, refund."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from coreason_budget.ledger.scripts import Answer, parse_answer

from . import windows
from .commands import id_in, subjects_in
from .model import Entry, Hold, Memory

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .auditor import Auditor, Served
    from .inspection import Account, PeriodState

__all__ = ["CHECKS"]


def reserve(auditor: Auditor, served: Served) -> None:
    """Check a verdict on a new hold, or on a top-up of an open one."""
    asked = Asked.of(served)
    known = auditor.server.holds.get(asked.hold_id) if asked.ttl else None
    before = known.topped_up.get(asked.nonce) if asked.nonce and known is not None else None
    is_repeated = before is not None if asked.nonce else known is not None
    match served.reply:
        case ["ok", _, deadline, granted, *_] if known is not None and is_repeated:
            auditor.require("4. only an open hold is granted again", _is_live(auditor, known), asked, known)
            first = known.amount if before is None else before
            same = (int(deadline), int(granted)) == (known.deadline, first)
            auditor.require("4. as it was", same, asked, known, served)
            auditor.unchanged(served)
        case ["ok", *_]:
            _granted(auditor, served, asked, known)
        case ["exceeded", *_]:
            _refused(auditor, served, asked, known)
        case ["missing", *indexes]:
            auditor.unchanged(served)
            for index in indexes:
                _missing(auditor, served, asked.subjects[int(index) - 1], asked.defaults[int(index) - 1])
        case ["gone", _]:
            auditor.unchanged(served)
            ended = bool(asked.nonce) if known is None else not _is_live(auditor, known)
            auditor.require("12. only what has ended is gone", ended, asked, known, served)
        case ["stale" | "clock", *_]:
            auditor.unchanged(served)
        case _:
            auditor.broken("12. no reason to say so", served)


@dataclass(frozen=True, slots=True)
class Asked:
    """What a hold was asked for with. ``least`` is what will do, ``nonce`` is of a top-up."""

    hold_id: str
    subjects: tuple[str, ...]
    defaults: tuple[str, ...]
    amount: int
    ttl: int
    least: int
    nonce: str

    @classmethod
    def of(cls, served: Served) -> Asked:
        _, _, defaults, amount, ttl, _, least, nonce = map(str, served.args)
        return cls(
            id_in(served.keys[0]),
            subjects_in(served.keys[3:]),
            tuple(defaults.split("|")),
            int(amount),
            int(ttl),
            int(amount) if least == "" else int(least),
            nonce,
        )


def _is_live(auditor: Auditor, hold: Hold) -> bool:
    return hold.state == "open" and hold.run == auditor.server.run


def _granted(auditor: Auditor, served: Served, asked: Asked, known: Hold | None) -> None:
    instant, granted = auditor.moment(served, asked.subjects), int(served.reply[3])
    auditor.require("1. no more than was asked for", asked.least <= granted <= asked.amount, asked, served)
    if asked.ttl:
        _hold(auditor, served, asked, known, granted)
        auditor.moved(served, {}, instant, rolls=asked.subjects)
    else:
        auditor.unchanged(served)
    is_full = granted == asked.amount
    for i, subject in enumerate(asked.subjects):
        account = served.after.account(subject)
        is_open = auditor.is_open(account, served.terms) and subject in auditor.server.opened
        auditor.require("8. only open accounts are decided on", is_open, subject, account, served)
        held = account.held + account.held_before + (0 if asked.ttl else granted)
        for code, state, cap in limited(account, asked.defaults[i]):
            auditor.require("8. every period was summed", state.verified, subject, code, state, served)
            spent = state.spent if state.window == windows.window_at(code, instant, auditor.zone) else 0
            within = spent + held <= cap if asked.amount or asked.ttl else spent + held < cap
            auditor.require("1. never over", within, subject, code, spent, held, granted, cap, served)
            auditor.require("1. blocked is blocked", cap > 0, subject, code, spent, held, granted, cap, served)
            auditor.world.limits.check_current(subject, code, state.limit, served)
            is_full = is_full or spent + held == cap
    auditor.require("12. less is held only where nothing more has room", is_full, asked, served)


def _hold(auditor: Auditor, served: Served, asked: Asked, known: Hold | None, granted: int) -> None:
    """Hold what was granted, on a new hold or on one that is open."""
    generations = {subject: served.after.account(subject).generation for subject in asked.subjects}
    deadline = served.now + asked.ttl
    if asked.nonce:
        auditor.require("4. an open hold is topped up", known is not None and _is_live(auditor, known), known, served)
        assert known is not None
        known.left += granted
        known.topped_up[asked.nonce] = granted
        known.generations, known.deadline = generations, deadline
    else:
        policy, run = str(served.args[1]).split(" ")[1], auditor.server.run
        auditor.server.holds[asked.hold_id] = Hold(granted, granted, asked.subjects, generations, run, deadline, policy)
    auditor.server.deadlines.add(asked.hold_id)


def _refused(auditor: Auditor, served: Served, asked: Asked, known: Hold | None) -> None:
    auditor.unchanged(served)
    _, at, index, code, window, spent, held, cap, first = served.reply
    subject = asked.subjects[int(index) - 1]
    account = served.after.account(subject)
    state, instant = account.periods[code], auditor.moment(served, asked.subjects)
    caps = {of: limit for of, _, limit in limited(account, asked.defaults[int(index) - 1])}
    now_in = windows.window_at(code, instant, auditor.zone)
    facts = (at, window, spent, held, cap)
    seen = state.spent if state.window == now_in else 0
    counted = account.held + account.held_before + _forgotten(account, subject, asked, known)
    expected = (str(instant), now_in, str(seen), str(counted), str(caps.get(code)))
    auditor.require("a refusal tells how it is", facts == expected, facts, expected, served)
    total = int(spent) + int(held) + (asked.amount if asked.least == asked.amount else max(1, asked.least))
    is_full = total > int(cap) or (asked.amount == 0 and total >= int(cap)) or int(cap) == 0
    if asked.least < asked.amount:
        is_full = is_full or _is_full_elsewhere(auditor, served, asked, known, instant)
    auditor.require("12. refused only where there is no room", is_full, facts, asked, served)
    if first == "1":
        holds = auditor.world.firsts.setdefault((subject, code, window), set())
        holds.add(f"{asked.hold_id}{asked.nonce}")
        lonely = len(holds) == 1 or auditor.world.has_lost_data
        auditor.require("5. the first refusal is told once", lonely, holds, served)


def _is_full_elsewhere(auditor: Auditor, served: Served, asked: Asked, known: Hold | None, instant: int) -> bool:
    """Return whether any limit has no room for the least: the one that is told is the one that resets last."""
    for i, subject in enumerate(asked.subjects):
        account = served.after.account(subject)
        held = account.held + account.held_before + _forgotten(account, subject, asked, known)
        for code, state, cap in limited(account, asked.defaults[i]):
            spent = state.spent if state.window == windows.window_at(code, instant, auditor.zone) else 0
            if spent + held + max(1, asked.least) > cap:
                return True
    return False


def _forgotten(account: Account, subject: str, asked: Asked, known: Hold | None) -> int:
    """Return what is left of a hold on an account that counts it no more: a top-up counts it again."""
    if not asked.nonce or known is None:
        return 0
    counts = known.generations.get(subject) in {account.generation, account.generation_before}
    return 0 if counts else known.left


def limited(account: Account, defaults: str) -> Iterator[tuple[str, PeriodState, int]]:
    """Yield code, state and limit (nano-USD) of each period of an account that has one."""
    for code, default in zip(windows.CODES, defaults.split(","), strict=True):
        state = account.periods[code]
        limit = state.limit or default
        if limit and limit != "u":
            yield code, state, int(limit)


def _missing(auditor: Auditor, served: Served, subject: str, defaults: str) -> None:
    """Check that an account that is said to be missing is not one that could be decided on."""
    account = served.before.account(subject)
    unverified = [
        code
        for code, default in zip(windows.CODES, defaults.split(","), strict=True)
        if (default or account.periods[code].limit) and not account.periods[code].verified
    ]
    ready = auditor.is_open(account, served.terms) and subject in auditor.server.opened and not unverified
    auditor.require("12. an open account is not missing", not ready, subject, account, served)


def charge(auditor: Auditor, served: Served) -> None:
    """Check a booking."""
    charge_id, hold_id, subjects = id_in(served.keys[0]), id_in(served.keys[1]), subjects_in(served.keys[4:])
    cost, final, nonce = int(served.args[3]), served.args[4] == "1", served.args[5]
    known = auditor.server.memory.get(charge_id)
    same = known is not None and (known.cost, known.accounts) == (str(cost), subjects)
    match served.reply:
        case ["ok", first, text] if known is not None:
            auditor.require("3. only the same charge", same, known, served)
            first_answer = (known.nonce == nonce, known.answer)
            auditor.require("4. the first answer", (first == "1", text) == first_answer, served)
            auditor.unchanged(served)
        case ["ok", "1", text]:
            answer = parse_answer(text)
            instant = auditor.moment(served, subjects)
            auditor.require("a charge is booked now", answer.at == instant, answer, instant, served)
            auditor.server.memory[charge_id] = Memory(str(nonce), str(cost), subjects, text)
            left, refunded = _use_hold(auditor, hold_id, cost, final=final)
            afterwards = (answer.left, answer.refunded) == (left, refunded)
            auditor.require("2. the hold afterwards", afterwards, answer, served)
            if refunded:
                place = answer.refund_journal_id
                entry = Entry(f"{charge_id}~refund", -refunded, subjects, instant, hold_id, "refund", place)
                auditor.book(entry, served.process)
            entry = Entry(charge_id, cost, subjects, instant, hold_id, served.args[7], answer.journal_id)
            auditor.book(entry, served.process)
            auditor.moved(served, dict.fromkeys(subjects, cost - refunded), instant, rolls=subjects)
            _thresholds(auditor, served, subjects, charge_id, answer)
        case ["conflict"]:
            auditor.unchanged(served)
            auditor.require("3. only another charge conflicts", known is not None and not same, known, served)
        case ["clock", _]:
            auditor.unchanged(served)
        case _:
            auditor.broken("3. a charge is never refused", served)


def _use_hold(auditor: Auditor, hold_id: str, cost: int, *, final: bool) -> tuple[int, int]:
    """Do to a hold what a charge does. Return what is left of it, and what was refunded of an expired one."""
    hold = auditor.server.holds.get(hold_id) if hold_id else None
    if hold is None:
        return 0, 0
    if _is_live(auditor, hold):
        hold.left -= hold.left if final else min(cost, hold.left)
        if final:
            _close(auditor, hold_id, hold)
        return hold.left, 0
    refunded = 0
    if hold.state == "expired":
        refunded = hold.rest if final else min(cost, hold.rest)
        hold.rest -= refunded
    return 0, refunded


def _close(auditor: Auditor, hold_id: str, hold: Hold) -> None:
    hold.state, hold.left = "closed", 0
    auditor.server.deadlines.discard(hold_id)


def _thresholds(auditor: Auditor, served: Served, subjects: Sequence[str], charge_id: str, answer: Answer) -> None:
    """Check which thresholds a charge is said to have passed, and note who is owed to hear of them."""
    thresholds = [int(percent) for percent in re.split("[ |]", str(served.args[1]))[4].split("+") if percent]
    for i, (subject, view) in enumerate(zip(subjects, answer.accounts, strict=True)):
        before, after = served.before.account(subject), served.after.account(subject)
        told = {period.period.code: period.crossed for period in view.periods if period.crossed}
        expected: dict[str, tuple[int, ...]] = {}
        if auditor.is_open(before, served.terms):
            for code, state, cap in limited(after, served.args[2].split("|")[i]):
                same = before.periods[code].window == state.window
                known = before.periods[code].told if same else 0
                passed = [percent for percent in thresholds if cap and state.spent * 100 >= percent * cap > known * cap]
                if passed and state.verified:
                    expected[code] = tuple(passed)
        auditor.require("9. a charge tells what it has passed", told == expected, subject, told, expected, served)
        for code, told_now in expected.items():
            _, end = windows.bounds(code, after.periods[code].window, auditor.zone)
            for percent in told_now:
                auditor.owed[subject, code, end, percent] = charge_id


def release(auditor: Auditor, served: Served) -> None:
    """Check that a hold is given back, once."""
    hold_id, subjects = id_in(served.keys[0]), subjects_in(served.keys[3:])
    hold = auditor.server.holds.get(hold_id)
    match served.reply:
        case ["clock", _]:
            auditor.unchanged(served)
        case ["none", *_]:
            auditor.require("2. it is not unknown", hold is None, hold, served)
            auditor.server.holds[hold_id] = Hold(0, 0, subjects, {}, "", 0, "", state="closed")
            auditor.moved(served, {}, served.now)
        case ["released", left, *_]:
            ok = hold is not None and hold.state == "open" and hold.left == int(left)
            auditor.require("2. what was left is released", ok, hold, served)
            assert hold is not None
            _close(auditor, hold_id, hold)
            auditor.moved(served, {}, served.now, touched=hold.accounts)
        case ["refunded", journal_id, at, amount, _, *_]:
            ok = hold is not None and hold.state == "expired" and hold.rest == int(amount) > 0
            auditor.require("a late release refunds the rest", ok, hold, served)
            assert hold is not None
            hold.rest = 0
            entry = Entry(f"{hold_id}~refund", -int(amount), subjects, int(at), hold_id, "refund", journal_id)
            _booked_now(auditor, served, entry)
        case ["closed", *_]:
            ok = hold is not None and (hold.state == "closed" or (hold.state == "expired" and not hold.rest))
            auditor.require("4. it has ended before", ok, hold, served)
            auditor.unchanged(served)
        case _:
            auditor.broken("an answer that nobody knows", served)


def _booked_now(auditor: Auditor, served: Served, entry: Entry) -> None:
    instant = auditor.moment(served, entry.subjects)
    auditor.require("it is booked now", entry.at == instant, entry, instant, served)
    auditor.book(entry, served.process)
    auditor.moved(served, dict.fromkeys(entry.subjects, entry.cost), instant, rolls=entry.subjects)


def extend(auditor: Auditor, served: Served) -> None:
    """Check that a deadline has moved, and that the hold counts in the accounts as they are now."""
    hold_id, subjects = id_in(served.keys[0]), subjects_in(served.keys[2:])
    hold = auditor.server.holds.get(hold_id)
    match served.reply:
        case ["ok", deadline]:
            auditor.require("4. it is open", hold is not None and _is_live(auditor, hold), hold, served)
            assert hold is not None
            auditor.require("its deadline", int(deadline) == served.now + int(served.args[1]), served)
            hold.deadline = int(deadline)
            auditor.server.deadlines.add(hold_id)
            for subject in subjects:
                account = served.after.account(subject)
                if auditor.is_mine(account) and account.generation:
                    hold.generations[subject] = account.generation
            auditor.moved(served, {}, served.now, touched=subjects)
        case _:
            ended = hold is None or not _is_live(auditor, hold)
            auditor.require("12. only what has ended is gone", ended, hold, served)
            auditor.unchanged(served)


def sweep(auditor: Auditor, served: Served) -> None:
    """Check that only a hold past its deadline is ended, by its policy."""
    hold_id = id_in(served.keys[0])
    hold = auditor.server.holds.get(hold_id)
    live = hold is not None and _is_live(auditor, hold)
    is_due = live and hold is not None and hold.deadline <= served.now
    match served.reply:
        case ["clock", _]:
            auditor.unchanged(served)
        case ["none"]:
            auditor.require("6. it is not there", not live, hold, served)
            auditor.server.deadlines.discard(hold_id)
            auditor.moved(served, {}, served.now)
        case ["due", _]:
            auditor.require("6. it is not due", live and not is_due, hold, served)
            auditor.unchanged(served)
        case ["released", left]:
            assert hold is not None
            ok = is_due and hold.left == int(left) and (hold.policy == "release" or not hold.left)
            auditor.require("6. swept by its policy", ok, hold, served)
            _close(auditor, hold_id, hold)
            auditor.moved(served, {}, served.now, touched=hold.accounts)
        case ["expired", journal_id, at, amount, _]:
            assert hold is not None
            ok = is_due and hold.left == int(amount) > 0 and hold.policy == "charge"
            auditor.require("6. swept by its policy", ok, hold, served)
            _close(auditor, hold_id, hold)
            hold.state, hold.rest = "expired", int(amount)
            entry = Entry(f"expired:{hold_id}", int(amount), hold.accounts, int(at), hold_id, "expired", journal_id)
            _booked_now(auditor, served, entry)


def refund(auditor: Auditor, served: Served) -> None:
    """Check that no more is taken back of a record than is left of it."""
    charge_id, hold_id, subjects = id_in(served.keys[0]), id_in(served.keys[1]), subjects_in(served.keys[3:])
    nonce = str(served.args[5])
    known = auditor.server.memory.get(charge_id)
    match served.reply:
        case ["ok", first, cost, text] if known is not None:
            same = (known.nonce == nonce, known.cost, known.answer)
            auditor.require("4. the first answer", (first == "1", cost, text) == same, served)
            auditor.unchanged(served)
        case ["ok", "1", cost, text]:
            answer = parse_answer(text)
            auditor.server.memory[charge_id] = Memory(nonce, cost, subjects, text)
            original = auditor.truth.rows[charge_id.removeprefix("refund:")]
            left = original.cost
            hold = auditor.server.holds.get(hold_id) if hold_id else None
            if hold is not None and hold.state == "expired":
                left = min(left, hold.rest)
                hold.rest += int(cost)
            auditor.require("no more is refunded than is left", 0 < -int(cost) <= left, left, original, served)
            entry = Entry(charge_id, int(cost), subjects, answer.at, hold_id, "refund", answer.journal_id)
            _booked_now(auditor, served, entry)
        case ["short" | "clock", *_]:
            auditor.unchanged(served)
        case _:
            auditor.broken("an answer that nobody knows", served)


CHECKS: Final = {
    "reserve": reserve,
    "charge": charge,
    "release": release,
    "extend": extend,
    "sweep": sweep,
    "refund": refund,
}
