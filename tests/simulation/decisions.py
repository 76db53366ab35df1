"""The auditor's rules of the scripts that move money: charge, release, extend, sweep, refund, reset."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from coreason_budget.ledger.scripts import Answer, parse_answer

from . import windows
from .commands import id_in, subjects_in
from .holding import is_live, limited, reserve
from .model import Entry, Hold, Memory
from .tables import Reset

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .auditor import Auditor
    from .served import Served

__all__ = ["CHECKS"]


def charge(auditor: Auditor, served: Served) -> None:
    """Check a booking."""
    charge_id, hold_id, subjects = id_in(served.keys[0]), id_in(served.keys[1]), subjects_in(served.keys[5:])
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
            crossed = any(period.crossed for view in answer.accounts for period in view.periods)
            is_plain = not crossed and all(view.is_complete for view in answer.accounts)
            auditor.require("it says if there is more to tell", answer.is_plain == is_plain, answer, served)
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
    if is_live(auditor, hold):
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
        has_sum = not auditor.is_beginning(before, auditor.moment(served, subjects))
        if auditor.is_open(before, served.terms) and has_sum:
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
            auditor.require("4. it is open", hold is not None and is_live(auditor, hold), hold, served)
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
            ended = hold is None or not is_live(auditor, hold)
            auditor.require("12. only what has ended is gone", ended, hold, served)
            auditor.unchanged(served)


def sweep(auditor: Auditor, served: Served) -> None:
    """Check that only a hold past its deadline is ended, by its policy."""
    hold_id = id_in(served.keys[0])
    hold = auditor.server.holds.get(hold_id)
    live = hold is not None and is_live(auditor, hold)
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


def _answered_before(auditor: Auditor, served: Served, known: Memory, nonce: str) -> None:
    """Check that a correction whose id is remembered gets its first answer, and does nothing."""
    _, first, cost, text = served.reply
    same = (known.nonce == nonce, known.cost, known.answer)
    auditor.require("4. the first answer", (first == "1", cost, text) == same, served)
    auditor.unchanged(served)


def refund(auditor: Auditor, served: Served) -> None:
    """Check that no more is taken back of a record than is left of it."""
    charge_id, hold_id, subjects = id_in(served.keys[0]), id_in(served.keys[1]), subjects_in(served.keys[3:])
    nonce = str(served.args[5])
    known = auditor.server.memory.get(charge_id)
    match served.reply:
        case ["ok", *_] if known is not None:
            _answered_before(auditor, served, known, nonce)
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


def reset(auditor: Auditor, served: Served) -> None:
    """Check that so much less counts in the window that runs, of one account that is open, once."""
    charge_id, (subject,) = id_in(served.keys[0]), subjects_in(served.keys[2:])
    code, window, nonce = (str(each) for each in (served.args[3], served.args[4], served.args[7]))
    amount, least = int(served.args[5]), int(served.args[6])
    known = auditor.server.memory.get(charge_id)
    match served.reply:
        case ["ok", *_] if known is not None:
            _answered_before(auditor, served, known, nonce)
        case ["ok", "1", cost, text]:
            answer, instant = parse_answer(text), auditor.moment(served, [subject])
            auditor.require("a reset is booked now", answer.at == instant, answer, instant, served)
            before, after = served.before.account(subject), served.after.account(subject)
            is_open = auditor.is_open(before, served.terms) and subject in auditor.server.opened
            auditor.require("8. an account that is not open is not reset", is_open, before, served)
            meant = (windows.window_at(code, instant, auditor.zone), -amount)
            auditor.require("the window that runs is reset, by what was seen", meant == (window, int(cost)), served)
            auditor.require("no more is reset than counts", after.periods[code].spent >= least >= 0, after, served)
            auditor.server.memory[charge_id] = Memory(nonce, cost, (subject,), text)
            auditor.world.firsts.pop((subject, code, window), None)  # the next refusal is a first one again
            what = Reset(subject, code, window, -amount)
            entry = Entry(charge_id, 0, (subject,), instant, "", "adjustment", answer.journal_id, what)
            auditor.book(entry, served.process)
            auditor.moved(served, {subject: -amount}, instant, rolls=[subject], only=code)
        case ["missing" | "window" | "short" | "unknown" | "clock", *_]:
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
    "reset": reset,
}
