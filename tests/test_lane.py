from __future__ import annotations

import gc
import os
import threading
import weakref
from concurrent.futures import CancelledError
from functools import partial

import pytest

from coreason_budget.ledger.lane import Lane, LaneFullError


class Spy:
    """A lane that notes what happens on its thread."""

    def __init__(self, size: int = 100, **options: float) -> None:
        self.seen: list[str] = []
        self.ended = threading.Event()
        self.lane = Lane("test", size, prepare=self.note("prepare"), tidy=self.note("tidy"), end=self.end, **options)

    def note(self, what: str):
        return lambda: self.seen.append(what)

    def end(self) -> None:
        self.seen.append("end")
        self.ended.set()


class Gate:
    """A job that waits until it is let go."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()

    def __call__(self) -> None:
        self.entered.set()
        assert self.opened.wait(10)


@pytest.fixture
def gate():
    made = Gate()
    yield made
    made.opened.set()


@pytest.fixture
def spy():
    made = Spy()
    yield made
    made.lane.stop(10)


def test_does_jobs_in_order_on_one_daemon_thread(spy):
    done: list[int] = []

    def note(number: int) -> threading.Thread:
        done.append(number)
        return threading.current_thread()

    threads = [spy.lane.submit(partial(note, number)) for number in range(50)]
    assert len({future.result(10) for future in threads}) == 1
    thread = threads[0].result()
    assert thread.daemon
    assert thread is not threading.current_thread()
    assert done == list(range(50))


def test_prepares_before_a_job_and_tidies_before_the_waiter_is_told(spy):
    assert spy.lane.submit(lambda: list(spy.seen)).result(10) == ["prepare"]
    assert spy.seen == ["prepare", "tidy"]


@pytest.mark.parametrize("error", [ValueError, SystemExit, KeyboardInterrupt])
def test_an_exception_reaches_the_waiter_and_the_lane_goes_on(spy, error):
    def fail():
        raise error

    with pytest.raises(error):
        spy.lane.submit(fail).result(10)
    assert spy.lane.submit(lambda: 1).result(10) == 1
    assert spy.seen == ["prepare", "tidy"] * 2


def test_what_cannot_be_prepared_is_the_waiters_error():
    spy = Spy()

    def fail() -> None:
        raise ZeroDivisionError

    spy.lane = Lane("test", 1, prepare=fail, tidy=spy.note("tidy"), end=spy.end)
    with pytest.raises(ZeroDivisionError):
        spy.lane.submit(lambda: 1).result(10)
    assert spy.lane.stop(10)


def test_takes_no_more_than_its_size(gate):
    spy = Spy(size=2)
    spy.lane.submit(gate)
    assert gate.entered.wait(10)
    queued = [spy.lane.submit(lambda: 1) for _ in range(2)]
    with pytest.raises(LaneFullError, match=r"test is full \(2 jobs\)"):
        spy.lane.submit(lambda: 1)
    assert spy.lane.waiting == 3
    gate.opened.set()
    assert [future.result(10) for future in queued] == [1, 1]
    assert spy.lane.submit(lambda: 1).result(10) == 1
    assert spy.lane.stop(10)


def test_flush_waits_for_all_jobs_but_no_longer_than_told(spy, gate):
    assert spy.lane.flush(0)
    spy.lane.submit(gate)
    assert not spy.lane.flush(0.01)
    gate.opened.set()
    assert spy.lane.flush(10)
    assert spy.lane.waiting == 0


def test_a_cancelled_job_is_not_done(spy, gate):
    spy.lane.submit(gate)
    cancelled = spy.lane.submit(lambda: spy.seen.append("done"))
    assert cancelled.cancel()
    gate.opened.set()
    assert spy.lane.flush(10)
    assert spy.seen == ["prepare", "tidy"]
    with pytest.raises(CancelledError):
        cancelled.result(0)


def test_stop_finishes_what_is_queued_and_ends_the_thread(spy, gate):
    gate.opened.set()
    for work in (gate, spy.note("one"), spy.note("two")):
        spy.lane.submit(work)
    assert spy.lane.stop(10)
    assert spy.ended.is_set()
    assert [what for what in spy.seen if what in {"one", "two", "end"}] == ["one", "two", "end"]


def test_stop_gives_up_on_a_job_that_hangs_even_with_a_full_queue(gate):
    spy = Spy(size=1)
    spy.lane.submit(gate)
    assert gate.entered.wait(10)
    queued = spy.lane.submit(lambda: 1)
    assert not spy.lane.stop(0.01)
    gate.opened.set()
    assert queued.result(10) == 1
    assert spy.ended.wait(10)


def test_starts_again_after_a_stop(spy):
    assert spy.lane.stop(10)
    first = spy.lane.submit(threading.current_thread).result(10)
    assert spy.lane.stop(10)
    second = spy.lane.submit(threading.current_thread).result(10)
    assert first is not second
    assert not first.is_alive()


def test_a_job_after_a_stop_that_gave_up_goes_to_the_same_thread(spy, gate):
    spy.lane.submit(gate)
    assert gate.entered.wait(10)
    assert not spy.lane.stop(0.01)
    future = spy.lane.submit(threading.active_count)
    gate.opened.set()
    assert future.result(10) == threading.active_count()
    assert "end" not in spy.seen


def test_the_thread_cannot_stop_itself(spy):
    assert spy.lane.submit(lambda: spy.lane.stop(10)).result(10) is False
    assert spy.lane.submit(spy.lane.is_own_thread).result(10)
    assert not spy.lane.is_own_thread()


def test_ends_when_it_is_idle_and_is_back_when_there_is_work():
    spy = Spy(idle_seconds=0.01)
    first = spy.lane.submit(threading.current_thread).result(10)
    assert spy.ended.wait(10)
    first.join(10)
    assert spy.lane.submit(lambda: 1).result(10) == 1
    assert spy.lane.stop(10)


def test_does_work_later():
    spy = Spy(idle_seconds=0.001)
    done = threading.Event()
    spy.lane.submit_later(lambda: 1 // 0, 0)
    spy.lane.submit_later(done.set, 0.05)
    assert done.wait(10)
    assert spy.lane.stop(10)


def test_a_flush_does_at_once_what_was_meant_for_later(spy):
    spy.lane.submit_later(spy.note("later"), 1000)
    assert spy.lane.waiting == 0
    assert spy.lane.flush(10)
    assert "later" in spy.seen


def test_a_job_that_waits_takes_in_another_of_its_name(spy, gate):
    spy.lane.submit(gate)
    first = spy.lane.submit(spy.note("first"), once="writing")
    again = spy.lane.submit(spy.note("again"), once="writing")
    other = spy.lane.submit(spy.note("other"), once="reading")
    gate.opened.set()
    assert spy.lane.flush(10)
    assert again is first is not other
    assert [what for what in spy.seen if what in {"first", "again", "other"}] == ["first", "other"]


def test_a_job_that_has_begun_takes_nothing_in(spy, gate):
    begun = spy.lane.submit(gate, once="writing")
    assert gate.entered.wait(10)
    assert spy.lane.submit(spy.note("after"), once="writing") is not begun
    gate.opened.set()
    assert spy.lane.flush(10)
    assert "after" in spy.seen


def test_a_job_that_lets_others_join_it_begins_by_itself(spy):
    first = spy.lane.submit(spy.note("first"), once="writing", within=0.01)
    assert first.result(10) is None
    assert spy.lane.submit(spy.note("next"), once="writing", within=0.01) is not first


@pytest.mark.parametrize(
    "hurry",
    [
        lambda lane: lane.submit(lambda: None, once="writing"),
        lambda lane: lane.submit(lambda: None),
        lambda lane: lane.flush(10),
        lambda lane: lane.stop(10),
    ],
    ids=["somebody who waits for it", "another job", "a flush", "a stop"],
)
def test_a_job_that_lets_others_join_it_begins_at_once_if(spy, hurry):
    first = spy.lane.submit(spy.note("first"), once="writing", within=1000)
    assert spy.lane.submit(spy.note("joined"), once="writing", within=1000) is first
    assert not first.done()
    hurry(spy.lane)
    first.result(10)
    assert "first" in spy.seen
    assert "joined" not in spy.seen


def test_a_hurry_is_over_once_nothing_waits(spy):
    spy.lane.submit(spy.note("first"), once="writing", within=1000)
    assert spy.lane.flush(10)
    second = spy.lane.submit(spy.note("second"), once="writing", within=1000)
    assert spy.lane.submit(spy.note("joined"), once="writing", within=1000) is second


def test_a_lane_that_is_stopping_takes_nothing_for_later(spy, gate):
    def fail():
        gate()
        spy.lane.submit_later(spy.note("later"), 0)

    spy.lane.submit(fail)
    assert gate.entered.wait(10)
    assert not spy.lane.stop(0.01)
    gate.opened.set()
    assert spy.ended.wait(10)
    assert "later" not in spy.seen


def test_says_so_if_no_thread_can_be_started(spy, monkeypatch):
    def refuse(thread):
        raise RuntimeError("can't create new thread at interpreter shutdown")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(LaneFullError, match="interpreter shutdown"):
            spy.lane.submit(lambda: 1)
    assert spy.lane.waiting == 0
    assert spy.lane.submit(lambda: 1).result(10) == 1


def test_many_threads_may_submit_at_once(spy):
    done: list[int] = []
    together = threading.Barrier(8)

    def submit() -> None:
        together.wait(10)
        for _ in range(100):
            spy.lane.submit(lambda: done.append(1))

    threads = [threading.Thread(target=submit) for _ in range(8)]
    spy.lane._size = 1000
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert spy.lane.flush(10)
    assert len(done) == 800


def test_an_idle_lane_can_be_collected():
    spy = Spy(idle_seconds=0.001)
    thread = spy.lane.submit(threading.current_thread).result(10)
    thread.join(10)
    reference = weakref.ref(spy.lane)
    del spy
    gc.collect()
    assert reference() is None


@pytest.mark.filterwarnings("ignore:.*fork:DeprecationWarning")
def test_a_forked_child_begins_with_an_empty_queue(spy, gate):
    spy.lane.submit(gate)
    assert gate.entered.wait(10)
    spy.lane.submit(lambda: 1)
    child = os.fork()
    if child == 0:
        fine = spy.lane.waiting == 0 and spy.lane.submit(lambda: 1).result(10) == 1 and spy.lane.stop(10)
        os._exit(0 if fine else 1)
    assert os.waitpid(child, 0)[1] == 0
    assert spy.lane.waiting == 2


def test_what_is_submitted_while_the_thread_starts_starts_no_second_one(spy, monkeypatch):
    """A destructor may run anywhere, also there."""
    start = threading.Thread.start
    seen: list[threading.Thread] = []

    def start_and_submit(thread: threading.Thread) -> None:
        if not seen:
            seen.append(thread)
            spy.lane.submit(lambda: seen.append(threading.current_thread()))
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", start_and_submit)

    assert spy.lane.submit(threading.current_thread).result(10) is seen[0]

    assert seen == [seen[0], seen[0]]


def test_a_thread_that_cannot_be_started_is_tried_again(spy, monkeypatch):
    def refuse(_):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", refuse)
        with pytest.raises(LaneFullError, match="cannot be started"):
            spy.lane.submit(int)

    assert spy.lane.submit(int).result(10) == 0
