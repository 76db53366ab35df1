"""The auditor's rules of the script that holds money: new holds, parts of what was asked for, top-ups, refusals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from . import windows
from .commands import id_in, subjects_in
from .model import Hold

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from .auditor import Auditor
    from .inspection import Account, PeriodState
    from .served import Served

__all__ = ["is_live", "limited", "reserve"]


@dataclass(frozen=True, slots=True)
class Request:
    """What a call asks for: so much, or at least ``least`` of it; with a ``nonce`` on top of a hold."""

    hold_id: str
    subjects: Sequence[str]
    defaults: Sequence[str]
    amount: int
    ttl: int
    least: int | None
    nonce: str

    @classmethod
    def of(cls, served: Served) -> Request:
        """Return what a script was given."""
        _, _, defaults, amount, ttl, _, least, nonce = map(str, served.args)
        return cls(
            id_in(served.keys[0]),
            subjects_in(served.keys[3:]),
            defaults.split("|"),
            int(amount),
            int(ttl),
            int(least) if least else None,
            nonce,
        )


def reserve(auditor: Auditor, served: Served) -> None:
    """Check a verdict."""
    request = Request.of(served)
    known = auditor.server.holds.get(request.hold_id) if request.ttl else None
    first = None
    if known is not None:
        first = known.topped_up.get(request.nonce) if request.nonce else known.amount
    match served.reply:
        case ["ok", _, deadline, amount, *_] if known is not None and first is not None:
            auditor.require("4. only an open hold is granted again", is_live(auditor, known), known, served)
            auditor.require("4. as it was", (int(deadline), int(amount)) == (known.deadline, first), known, served)
            auditor.unchanged(served)
        case ["ok", *_]:
            _granted(auditor, served, request, known)
        case ["exceeded", *_]:
            _refused(auditor, served, request, known)
        case ["missing", *indexes]:
            auditor.unchanged(served)
            for index in indexes:
                _missing(auditor, served, request.subjects[int(index) - 1], request.defaults[int(index) - 1])
        case ["gone", _]:
            auditor.unchanged(served)
            ended = not is_live(auditor, known) if known is not None else bool(request.nonce)
            auditor.require("12. only what has ended is gone", ended, known, served)
        case ["stale" | "clock", *_]:
            auditor.unchanged(served)
        case _:
            auditor.broken("12. no reason to say so", served)


def is_live(auditor: Auditor, hold: Hold) -> bool:
    """Whether a hold is open on this server."""
    return hold.state == "open" and hold.run == auditor.server.run


def _granted(auditor: Auditor, served: Served, request: Request, known: Hold | None) -> None:
    instant, amount, subjects = auditor.moment(served, request.subjects), int(served.reply[3]), request.subjects
    if request.ttl:
        _hold(auditor, served, request, known, amount)
        auditor.moved(served, {}, instant, rolls=subjects)
    else:
        auditor.unchanged(served)
    tightest = None
    for subject, defaults in zip(subjects, request.defaults, strict=True):
        account = served.after.account(subject)
        is_open = auditor.is_open(account, served.terms) and subject in auditor.server.opened
        is_open = is_open and not auditor.is_beginning(served.before.account(subject), instant)
        auditor.require("8. only open accounts are decided on", is_open, subject, account, served)
        held = account.held + account.held_before + (0 if request.ttl else amount)
        for code, state, cap in limited(account, defaults):
            auditor.require("8. every period was summed", state.verified, subject, code, state, served)
            spent = state.spent if state.window == windows.window_at(code, instant, auditor.zone) else 0
            within = spent + held <= cap if amount or request.ttl else spent + held < cap
            auditor.require("1. never over", within, subject, code, spent, held, amount, cap, served)
            auditor.require("1. blocked is blocked", cap > 0, subject, code, spent, held, amount, cap, served)
            auditor.world.limits.check_current(subject, code, state.limit, served)
            room = cap - spent - held
            tightest = room if tightest is None else min(tightest, room)
    if amount != request.amount:
        is_enough = request.least is not None and max(1, request.least) <= amount < request.amount
        auditor.require("1. a part that is enough", is_enough, amount, request, served)
        auditor.require("12. all that has room", tightest == 0, tightest, amount, request, served)


def _hold(auditor: Auditor, served: Served, request: Request, known: Hold | None, amount: int) -> None:
    """Note what is held now: a new hold, or one that was topped up and counts in its accounts as they are."""
    server, deadline = auditor.server, served.now + request.ttl
    generations = {subject: served.after.account(subject).generation for subject in request.subjects}
    server.deadlines.add(request.hold_id)
    if not request.nonce:
        policy = str(served.args[1]).split(" ")[1]
        server.holds[request.hold_id] = Hold(
            amount, amount, tuple(request.subjects), generations, server.run, deadline, policy
        )
        return
    is_open = known is not None and is_live(auditor, known)
    auditor.require("4. only an open hold is topped up", is_open, known, served)
    assert known is not None
    known.left += amount
    known.topped_up[request.nonce] = amount
    known.deadline = deadline
    known.generations |= generations


def _refused(auditor: Auditor, served: Served, request: Request, known: Hold | None) -> None:
    auditor.unchanged(served)
    _, at, index, code, window, spent, held, cap, first = served.reply
    subject, defaults = request.subjects[int(index) - 1], request.defaults[int(index) - 1]
    account = served.after.account(subject)
    state, instant = account.periods[code], auditor.moment(served, request.subjects)
    caps = {of: limit for of, _, limit in limited(account, defaults)}
    now_in = windows.window_at(code, instant, auditor.zone)
    facts = (at, window, spent, held, cap)
    seen = state.spent if state.window == now_in else 0
    expected = (str(instant), now_in, str(seen), str(_held_with(account, subject, known)), str(caps.get(code)))
    auditor.require("a refusal tells how it is", facts == expected, facts, expected, served)
    total = int(spent) + int(held) + request.amount
    is_full = total > int(cap) or (request.amount == 0 and total >= int(cap)) or int(cap) == 0
    auditor.require("12. refused only where there is no room", is_full, facts, request, served)
    if request.least is not None:
        room = _room(auditor, served, request, known)
        auditor.require("12. refused only where no part is enough", room < max(1, request.least), room, request, served)
    if first == "1":
        holds = auditor.world.firsts.setdefault((subject, code, window), set())
        holds.add(f"{request.hold_id}{request.nonce}")
        lonely = len(holds) == 1 or auditor.world.has_lost_data
        auditor.require("5. the first refusal is told once", lonely, holds, served)


def _held_with(account: Account, subject: str, hold: Hold | None) -> int:
    """Return what an account holds, with what is left of a hold that it knows nothing of any more."""
    held = account.held + account.held_before
    is_forgotten = hold is not None and hold.generations.get(subject) not in {
        account.generation,
        account.generation_before,
    }
    return held + hold.left if hold is not None and is_forgotten else held


def _room(auditor: Auditor, served: Served, request: Request, known: Hold | None) -> int:
    """Return how much the tightest account of a call has room for."""
    instant, rooms = auditor.moment(served, request.subjects), []
    for subject, defaults in zip(request.subjects, request.defaults, strict=True):
        account = served.after.account(subject)
        for code, state, cap in limited(account, defaults):
            spent = state.spent if state.window == windows.window_at(code, instant, auditor.zone) else 0
            rooms.append(cap - spent - _held_with(account, subject, known))
    return min(rooms)


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
    ready = ready and not auditor.is_beginning(account, auditor.moment(served, subjects_in(served.keys[3:])))
    auditor.require("12. an open account is not missing", not ready, subject, account, served)
