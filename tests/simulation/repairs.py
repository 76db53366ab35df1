"""The auditor's rules of the scripts that mend counters and limits: rebuild, ack, limits; and of those that look."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from coreason_budget.ledger.scripts import journal_number

from .commands import subjects_in

if TYPE_CHECKING:
    from .auditor import Auditor
    from .served import Served

__all__ = ["CHECKS"]


def rebuild_begin(auditor: Auditor, served: Served) -> None:
    """Check that a rebuild takes away nothing from an account that is open."""
    (subject,) = subjects_in(served.keys[:1])
    nonce = served.args[2]
    if served.reply[0] != "go":
        auditor.unchanged(served)
        return
    before, after = served.before.account(subject), served.after.account(subject)
    if after.incarnation != before.incarnation:
        auditor.require("its incarnation is its own", after.incarnation.startswith(f"{nonce}@"), after, served)
        auditor.require("2. no open account is thrown away", not auditor.is_mine(before, served.terms), before, served)
        auditor.server.opened.discard(subject)
    else:
        if auditor.is_entering(before, after):
            auditor.require("7. it may have spent there", after.doubt, subject, before, after, served)
            auditor.server.opened.discard(subject)
            before = replace(before, doubt=after.doubt, verdicts=after.verdicts)
        same = (before.generation, before.held, before.held_before, before.doubt, before.verdicts)
        kept = (after.generation, after.held, after.held_before, after.doubt, after.verdicts)
        auditor.require("a rebuild that begins changes nothing", same == kept, before, after, served)
    auditor.begun[nonce] = (auditor.steps, journal_number(served.reply[1]))
    auditor.moved(served, {}, served.now, free=[subject])


def rebuild_end(auditor: Auditor, served: Served) -> None:
    """Check that an account is opened only for what was summed of it as it is."""
    (subject,) = subjects_in(served.keys[:1])
    before, after = served.before.account(subject), served.after.account(subject)
    if served.reply[0] != "done" or before.verdicts == after.verdicts:
        if served.reply[0] == "done":
            is_open = auditor.is_open(before, served.terms) and subject in auditor.server.opened
            auditor.require("8. another has opened it", is_open, before, served)
        has_rolled = served.before.lines[subject] != served.after.lines[subject]
        auditor.moved(served, {}, auditor.moment(served, [subject]), rolls=[subject] if has_rolled else [])
        return
    as_begun = auditor.is_mine(before) and (before.incarnation, before.verdicts) == (served.args[3], served.args[4])
    auditor.require("8. it is the account that was summed", as_begun, before, served)
    auditor.server.opened.add(subject)
    step, point = auditor.begun[served.args[2]]
    for charge_id, accounts in auditor.truth.unsettled.items():
        if accounts.get(subject, step + 1) <= step and (auditor.truth.rows[charge_id].journal_id or 0) <= point:
            del accounts[subject]
    auditor.moved(served, {}, served.now, free=[subject])


def ack(auditor: Auditor, served: Served) -> None:
    """Check that what the database has leaves the journal, and that what the journal had not is doubted."""
    doubted: set[str] = set()
    journal, truth = auditor.server.journal, auditor.truth
    for i in range(0, len(served.args), 4):
        journal_id, charge_id, how, indexes = map(str, served.args[i : i + 4])
        entry = journal.get(journal_id)
        found = how != "doubt" and entry is not None and entry.charge_id == charge_id
        if found:
            auditor.require("10. the row is there", charge_id in truth.rows, charge_id, served)
            del journal[journal_id]
        doubts = how in {"doubt", "other"} or (how == "new" and not found)
        accounts = subjects_in([served.keys[int(index) - 1] for index in indexes.split(",")])
        if doubts:
            doubted.update(accounts)
        if found or doubts:
            for subject in accounts:
                truth.unsettled.get(charge_id, {}).pop(subject, None)
    for subject in doubted:
        account = served.after.account(subject)
        auditor.require("7. it is doubted", account.doubt or not account.exists, account, served)
        auditor.server.opened.discard(subject)
    auditor.moved(served, {}, served.now, free=doubted)


def limits(auditor: Auditor, served: Served) -> None:
    """Check that limits change nothing else."""
    (subject,) = subjects_in(served.keys[:1])
    if served.args[1] == "" and served.reply[0] in {"outdated", "none"}:
        auditor.world.limits.pushed(subject)
    before, after = served.before.account(subject), served.after.account(subject)
    same = [(state.window, state.spent) for state in before.periods.values()]
    kept = [(state.window, state.spent) for state in after.periods.values()]
    auditor.require("limits change no spend", same == kept, before, after, served)
    as_open = (before.doubt, before.run) == (after.doubt, after.run)
    auditor.require("limits open nothing", as_open, before, after, served)
    auditor.moved(served, {}, served.now, free=[subject])


def status(auditor: Auditor, served: Served) -> None:
    """Check that looking changes nothing."""
    auditor.unchanged(served)


CHECKS: Final = {
    "rebuild_begin": rebuild_begin,
    "rebuild_end": rebuild_end,
    "ack": ack,
    "limits": limits,
    "status": status,
    "peek": status,
}
