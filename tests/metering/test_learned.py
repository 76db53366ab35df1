"""A learner holds what calls of a kind come to: few exceed, whatever the traffic, and little is held in vain."""

from __future__ import annotations

import gc
import random
import threading
import weakref
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from coreason_budget import BudgetConfig
from coreason_budget.metering import learned
from coreason_budget.metering.learned import Learner, LearnKey, learner_of

from .shelf import Shelf, exceeding

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

KEY = LearnKey("gpt-4o", "chat:answer")


def _learner(**options: Any) -> Learner:
    return Learner(BudgetConfig(**options))


def _traffic(lengths: Callable[[random.Random, int], float], calls: int) -> Iterator[tuple[int, int]]:
    chance = random.Random(7)
    for number in range(calls):
        yield max(1, round(chance.lognormvariate(6, 0.8))), max(1, round(lengths(chance, number)))


TRAFFICS: dict[str, Callable[[random.Random, int], float]] = {
    "alike": lambda chance, _: chance.lognormvariate(5, 0.6),
    "growing": lambda chance, number: chance.lognormvariate(5 + number / 5_000, 0.5),
    "five times longer at once": lambda chance, number: chance.lognormvariate(5 if number < 2_000 else 6.6, 0.5),
    "shorter at once": lambda chance, number: chance.lognormvariate(6.6 if number < 2_000 else 5, 0.5),
    "to and fro": lambda chance, number: chance.lognormvariate(5 if number // 500 % 2 else 6.5, 0.4),
    "a heavy tail": lambda chance, _: min(100_000, 60 * chance.paretovariate(1.5)),
    "labels": lambda chance, _: chance.choice((2, 2, 2, 3, 5)),
    "one length": lambda *_: 7,
    "one length, then any": lambda chance, number: 7 if number < 2_000 else chance.randint(1, 4_096),
}


@pytest.mark.parametrize("name", TRAFFICS)
def test_at_most_one_call_of_a_hundred_exceeds(name: str) -> None:
    exceeded, _, _ = exceeding(_learner(), KEY, _traffic(TRAFFICS[name], 5_000))

    assert exceeded <= 50


def test_answers_that_grow_faster_than_they_can_be_learned_are_still_followed() -> None:
    exceeded, held, used = exceeding(
        _learner(), KEY, _traffic(lambda chance, number: chance.uniform(2, 4) * 2 ** (number / 300), 4_000)
    )

    assert exceeded <= 80
    assert held < used * 2


def test_the_share_is_a_setting() -> None:
    exceeded, held, _ = exceeding(_learner(learned_exceed_share="0.1"), KEY, _traffic(TRAFFICS["alike"], 3_000))
    _, more, _ = exceeding(_learner(), KEY, _traffic(TRAFFICS["alike"], 3_000))

    assert 220 <= exceeded <= 300
    assert held < more * 0.7


@settings(max_examples=10)
@given(st.lists(st.tuples(st.integers(0, 12), st.floats(0, 1.5)), min_size=1, max_size=8), st.integers(0, 10))
def test_a_run_of_bad_luck_is_bounded(regimes: list[tuple[int, float]], seed: int) -> None:
    """However the traffic turns, what exceeds beyond the share is bounded by how far the level can go."""
    chance = random.Random(seed)
    calls = [
        (100, min(1_000_000, max(1, round(chance.lognormvariate(mean, spread)))))
        for mean, spread in regimes
        for _ in range(150)
    ]

    exceeded, _, _ = exceeding(_learner(), KEY, calls)

    assert exceeded <= 0.0085 * len(calls) + 23


def test_answers_that_depend_on_the_prompt_are_held_for_by_its_length() -> None:
    chance = random.Random(7)
    calls = [(size, round(size * chance.uniform(0.4, 0.5))) for size in chance.choices((100, 1_000, 10_000), k=3_000)]

    exceeded, held, used = exceeding(_learner(), KEY, calls)

    assert exceeded <= 30
    assert held < used * 1.5


def test_before_the_first_call_the_estimate_is_held_for() -> None:
    assert _learner().output_tokens(KEY, 400) == 1_024
    assert _learner(estimate_output_tokens=300).output_tokens(KEY, 400) == 300


def test_the_first_calls_are_held_for_with_care() -> None:
    """A few short answers do not yet rule out the length that the settings assume."""
    learner, shelf, held = _learner(), Shelf(), []
    for _ in range(400):
        held.append(learner.output_tokens(KEY, 400))
        shelf.take(learner.observation(KEY, 400, 50, expected=held[-1]))

    assert held[0] == 1_024
    assert min(held[1:6]) > 1_024
    assert held[399] == 53


def test_views_and_models_learn_apart() -> None:
    learner = _learner()
    exceeding(learner, KEY, [(400, 5_000)] * 20)

    assert learner.output_tokens(KEY, 400) > 5_000
    assert learner.output_tokens(LearnKey("gpt-4o", "chat:title"), 400) == 1_024
    assert learner.output_tokens(LearnKey("gpt-4o-mini", "chat:answer"), 400) == 1_024


def test_a_prompt_of_a_length_never_seen_is_held_for_as_all_others_are() -> None:
    learner = _learner()
    exceeding(learner, KEY, [(400, 100), (4_000, 900)] * 300)

    assert [learner.output_tokens(KEY, tokens) for tokens in (400, 4_000, 90_000)] == [101, 936, 936]


def test_learning_can_be_switched_off() -> None:
    learner = _learner(learn_holds=False)

    assert learner.observation(KEY, 400, 50, expected=1_024) is None
    learner.learn(KEY, ["level", "0", "all", "1 9=1"])
    assert learner.output_tokens(KEY, 400) == 1_024


@pytest.mark.parametrize(
    "fields",
    [
        [],
        ["level"],
        ["level", "0"],
        ["all", "1 9=1"],
        ["level", "x", "all", "1 9=1"],
        ["level", "0", "all", "not counts"],
        ["level", "0", "all", ""],
    ],
)
def test_what_cannot_be_read_is_left_out(fields: list[str]) -> None:
    learner = _learner()

    learner.learn(KEY, fields)

    assert learner.output_tokens(KEY, 400) == 1_024


def test_a_row_that_cannot_be_read_is_as_if_it_were_not_there() -> None:
    learner, other = _learner(), _learner()
    whole = ["level", "0", "all", "500 30=500"]

    learner.learn(KEY, [*whole, "10", "garbage", "999", "1 9=1", "x", "1 9=1", "11"])
    other.learn(KEY, whole)

    assert learner.output_tokens(KEY, 400) == other.output_tokens(KEY, 400)


def test_a_process_that_knows_nothing_asks_for_all_and_then_for_what_it_touches() -> None:
    learner, shelf = _learner(), Shelf()
    first = learner.observation(KEY, 400, 50, expected=1_024)
    shelf.take(first)
    second = learner.observation(KEY, 400, 5_000, expected=1_024)

    assert first is not None
    assert (first.slot, first.text) == ("00dd", "10 25 -4250 1")
    assert second is not None
    assert second.text == "10 77 495750 0"


def test_what_a_process_keeps_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(learned, "MAX_KEYS", 3)
    learner = _learner()
    keys = [LearnKey("m", f"view {number}") for number in range(4)]
    for key in keys[:3]:
        exceeding(learner, key, [(400, 3_000)])
    learner.output_tokens(keys[0], 400)

    exceeding(learner, keys[3], [(400, 3_000)])

    assert [learner.output_tokens(key, 400) == 1_024 for key in keys] == [False, True, False, False]


def test_there_are_so_many_slots_and_no_more() -> None:
    slots = {LearnKey("gpt-4o", f"view {number}").slot for number in range(50_000)}

    assert 15_000 < len(slots) <= 16_384
    assert all(0 <= int(slot, 16) < 16_384 for slot in slots)
    assert LearnKey("a", "b").slot != LearnKey("ab").slot
    assert LearnKey("\udc80").slot


def test_threads_share_a_learner() -> None:
    learner, shelf = _learner(), Shelf()
    errors: list[BaseException] = []

    def work(number: int) -> None:
        try:
            for turn in range(300):
                key = LearnKey("m", str((number + turn) % 5))
                expected = learner.output_tokens(key, turn)
                shelf.take(learner.observation(key, turn, 50, expected=expected))
        except BaseException as error:  # noqa: BLE001  # it is what is asked for
            errors.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert errors == []
    assert all(learner.output_tokens(LearnKey("m", str(number)), 100) < 1_024 for number in range(5))


def test_a_manager_has_one_learner_that_goes_with_it() -> None:
    class Manager:
        config = BudgetConfig()

    manager: Any = Manager()
    learner = learner_of(manager)

    assert learner_of(manager) is learner
    gone = weakref.ref(learner)
    del manager, learner
    gc.collect()
    assert gone() is None
