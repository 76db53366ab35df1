"""Many refusals, and stores that fail: nothing grows, nobody waits, and what was lost is told."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import BudgetExceededError, BudgetUnavailableError
from coreason_budget.ledger.outcomes import Refused
from coreason_budget.periods import Period
from coreason_budget.refusals import recorder as module
from coreason_budget.refusals.references import read_reference
from coreason_budget.refusals.store import counts, find, newest
from coreason_budget.scopes import Scope, Subject, subjects_of

from .test_notes import TODAY, noted, refused

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget import BudgetManager
    from coreason_budget.refusals.recorder import Recorder
    from tests.conftest import Backend, Driver
    from tests.contract.tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)


def note(budget: BudgetManager, user: str, clock: Clock, *, window: str = "2030-03-13") -> str:
    """Have a refusal noted as the guard does."""
    deposit = budget.ledger.deposit(subjects_of(user))
    told = Refused(Subject(Scope.USER, user), Period.DAY, window, 1, 0, 1, first=False, now=clock.ms)
    return budget.guard.refusals.note(told, deposit, 1)


@pytest.fixture
def written(budget: BudgetManager, monkeypatch: pytest.MonkeyPatch) -> list[tuple[int, int]]:
    """List how many notes and counts each run of the script is sent."""
    seen: list[tuple[int, int]] = []
    send = budget.guard.refusals._send

    def watched(notes: Any, counts: Any, models: Any) -> None:
        seen.append((len(notes), len(counts)))
        send(notes, counts, models)

    monkeypatch.setattr(budget.guard.refusals, "_send", watched)
    return seen


def test_who_hammers_makes_one_note(budget: BudgetManager, clock: Clock, written: list[tuple[int, int]]) -> None:
    references = set()
    for _ in range(5_000):
        references.add(note(budget, "ann", clock))
        clock.move(milliseconds=1)

    (reference,) = references
    found = noted(budget, reference)
    assert (found.times, found.at - found.first) == (5_000, 4_999)
    assert {notes for notes, _ in written} == {1}
    assert budget.drive(counts(budget.ledger)).between(TODAY, TODAY)[Scope.USER] == 5_000


def test_a_storm_of_many_is_bounded_and_what_is_dropped_is_counted(
    budget: BudgetManager, clock: Clock, written: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = budget.guard.refusals
    monkeypatch.setattr(refusals, "_have_written", lambda: None)
    threads = threading.active_count()
    references = {note(budget, f"user-{number}", clock) for number in range(5_000)}
    monkeypatch.undo()

    assert len(references) == 5_000
    assert (len(refusals._bursts), len(refusals._notes), refusals._lane.waiting) == (1_000, 1_000, 0)
    assert threading.active_count() == threads

    note(budget, "the last", clock)
    assert refusals.flush(10)
    assert threading.active_count() == threads + 1
    found = budget.drive(counts(budget.ledger))
    assert (found.between(TODAY, TODAY)[Scope.USER], found.dropped(TODAY, TODAY)) == (5_001, 4_001)
    assert len(budget.drive(newest(budget.ledger, 2_000))) == 1_000


def test_many_notes_are_written_few_at_a_time(
    budget: BudgetManager, clock: Clock, written: list[tuple[int, int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(budget.guard.refusals, "_have_written", lambda: None)
        for number in range(119):
            note(budget, f"user-{number}", clock)
    note(budget, "the last", clock)

    assert budget.guard.refusals.flush(10)

    assert written == [(50, 1), (50, 0), (20, 0)]


def test_threads_that_are_refused_together_are_all_counted(budget: BudgetManager, clock: Clock) -> None:
    def many() -> None:
        for _ in range(500):
            note(budget, "ann", clock)

    threads = [threading.Thread(target=many) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert noted(budget, note(budget, "ann", clock)).times == 4_001
    assert budget.drive(counts(budget.ledger)).between(TODAY, TODAY)[Scope.USER] == 4_001


# stores that fail ----------------------------------------------------------------------------------------------------


@pytest.fixture
def broken(budget: BudgetManager, monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Have what is noted fail, until the function that this returns is called."""
    call = budget.ledger.call

    def failing(name: str, keys: Any, args: Any) -> Any:
        if name == "note_refusals":
            raise BudgetUnavailableError("Redis cannot be used: no")
        return call(name, keys, args)

    monkeypatch.setattr(budget.ledger, "call", failing)
    return lambda: monkeypatch.setattr(budget.ledger, "call", call)


def test_a_store_that_fails_changes_no_answer_and_is_logged_once(
    driver: Driver, budget: BudgetManager, broken: Callable[[], None], caplog: pytest.LogCaptureFixture
) -> None:
    references = set()
    for _ in range(3):
        references.add(refused(driver, budget, "ann", amount=2))
        assert not budget.guard.refusals.flush(10)

    assert [record.message for record in caplog.records if record.levelname == "ERROR"] == [
        "Why calls are refused cannot be noted at the moment: Redis cannot be used: no"
    ]

    (reference,) = references
    assert read_reference(reference) == reference
    broken()
    assert noted(budget, reference).times == 3
    assert budget.drive(counts(budget.ledger)).between(TODAY, TODAY)[Scope.USER] == 3


def test_what_came_while_a_store_recovered_is_written_too(
    budget: BudgetManager, clock: Clock, broken: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    refusals = budget.guard.refusals
    note(budget, "ann", clock)
    assert not refusals.flush(10)
    broken()
    late, send = list[str](), refusals._send

    def with_another(notes: Any, counts: Any, models: Any) -> None:
        send(notes, counts, models)
        if not late:
            late.append(note(budget, "bob", clock))  # nothing is submitted for it: a try is under way

    monkeypatch.setattr(refusals, "_send", with_another)

    assert refusals._lane.flush(10)
    assert refusals._lane.flush(10)

    assert budget.drive(find(budget.ledger, late[0])) is not None


def test_what_waits_for_a_store_that_fails_is_bounded(
    budget: BudgetManager, clock: Clock, broken: Callable[[], None]
) -> None:
    refusals = budget.guard.refusals
    for batch in range(3):
        for number in range(900):
            note(budget, f"user-{batch}-{number}", clock)
            refusals.note_model(f"model-{batch}-{number}")
        assert not refusals.flush(10)

    assert (len(refusals._notes), len(refusals._models), refusals._lane.waiting) == (1_000, 200, 0)
    broken()
    assert refusals.flush(10)
    found = budget.drive(counts(budget.ledger))
    assert (found.between(TODAY, TODAY)[Scope.USER], found.dropped(TODAY, TODAY)) == (2_700, 1_700)


def test_a_batch_whose_reply_is_lost_is_counted_once(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute, lost = budget.ledger.connections.execute, list[Any]()

    def losing(args: Any) -> Any:
        reply = execute(args)
        if "{coreason-budget}:refusals" in args and not lost:
            lost.append(reply)
            raise ConnectionResetError("the reply is lost")
        return reply

    monkeypatch.setattr(budget.ledger.connections, "execute", losing)
    reference = refused(driver, budget, "ann", amount=2)

    assert noted(budget, reference).times == 1
    assert len(lost) == 1
    assert budget.drive(counts(budget.ledger)).between(TODAY, TODAY)[Scope.USER] == 1


def test_keys_of_another_type_are_logged_and_stop_no_answer(
    driver: Driver, budget: BudgetManager, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    with backend.client() as client:
        client.set("{coreason-budget}:refusals", "x")

    assert refused(driver, budget, "ann", amount=2)
    assert not budget.guard.refusals.flush(10)

    assert sum("cannot be noted" in record.message for record in caplog.records) == 1


def test_nobody_waits_for_a_store_that_hangs(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    call, asked, answers = budget.ledger.call, threading.Event(), threading.Event()

    def hanging(name: str, keys: Any, args: Any) -> Any:
        if name == "note_refusals":
            asked.set()
            assert answers.wait(30)
        return call(name, keys, args)

    monkeypatch.setattr(budget.ledger, "call", hanging)
    first = refused(driver, budget, "ann", amount=2)
    assert asked.wait(10)

    others = [refused(driver, budget, f"user-{number}", amount=2) for number in range(100)]  # all of them answered

    assert budget.drive(find(budget.ledger, first)) is None
    answers.set()
    assert noted(budget, first).user == "ann"
    assert noted(budget, others[-1]).user == "user-99"


# processes -----------------------------------------------------------------------------------------------------------


def test_a_manager_notes_what_waits_when_it_is_closed(driver: Driver, make: Make, budget: BudgetManager) -> None:
    other = make(daily_user_limit_usd=1)
    reference = refused(driver, other, "ann", amount=2)
    if driver.name == "sync":
        other.close_sync()
    else:
        driver(Closing(other), "close")

    assert budget.drive(find(budget.ledger, reference)) is not None
    again = refused(driver, other, "bob", amount=2)
    assert noted(other, again).user == "bob"


class Closing:
    def __init__(self, budget: BudgetManager) -> None:
        self.aclose = budget.close


def test_a_process_that_ends_notes_what_waits(budget: BudgetManager, clock: Clock) -> None:
    reference = note(budget, "ann", clock)

    module._flush_at_exit()

    assert budget.drive(find(budget.ledger, reference)) is not None


def test_a_forked_child_leaves_what_waits_to_its_parent(budget: BudgetManager, clock: Clock) -> None:
    refusals: Recorder = budget.guard.refusals
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(refusals, "_have_written", lambda: None)
        note(budget, "ann", clock)
    refusals._lock.acquire()

    refusals._start_afresh()  # as os.register_at_fork has it called

    assert (refusals._notes, refusals._counts) == ({}, {})
    assert noted(budget, note(budget, "bob", clock)).user == "bob"


def test_an_interpreter_that_starts_no_threads_answers_all_the_same(
    driver: Driver, budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    from coreason_budget.ledger.lane import LaneFullError

    def none(*_: Any, **__: Any) -> None:
        raise LaneFullError("no")

    monkeypatch.setattr(budget.guard.refusals._lane, "submit", none)

    with pytest.raises(BudgetExceededError):
        driver(budget, "reserve", "ann", amount=2)
