"""What calls are observed to be rides on their charges: counted once, bounded, and never in the way of the money."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from coreason_budget import ChargeConflictError
from coreason_budget.metering.learned import Learner, LearnKey
from coreason_budget.spends import spend_of
from tests.metering.shelf import LEAST, MOST, Shelf

from .tools import booked, dump, spent

if TYPE_CHECKING:
    from collections.abc import Callable

    from coreason_budget import BudgetManager, Receipt
    from tests.conftest import Backend, Driver

    from .tools import Make

pytestmark = pytest.mark.django_db(transaction=True)

KEY = LearnKey("gpt-4o", "chat:answer")
FIELDS = f"{{coreason-budget}}:l:{KEY.slot}"


@pytest.fixture
def call(driver: Driver, budget: BudgetManager) -> Callable[..., Receipt]:
    """Make a call of so many tokens: ``call(learner, 400, 50)``."""

    def make(
        learner: Learner, input_tokens: int, output_tokens: int, *, cost: str = "0.001", charge_id: str | None = None
    ) -> Receipt:
        expected = learner.output_tokens(KEY, input_tokens)
        observed = learner.observation(KEY, input_tokens, output_tokens, expected=expected)
        spend = replace(spend_of(cost, charge_id=charge_id), observed=observed)
        receipt: Receipt = driver(budget, "drive", budget.guard.charge(budget.guard.accounts("ann", None), spend))
        return receipt

    return make


@pytest.fixture
def learner(budget: BudgetManager) -> Learner:
    return Learner(budget.config)


def _fields(backend: Backend) -> dict[str, str]:
    with backend.client() as client:
        found: dict[str, str] = client.hgetall(FIELDS)
    return found


def test_a_charge_counts_its_call_and_tells_what_is_known(
    call: Callable[..., Receipt], learner: Learner, backend: Backend
) -> None:
    call(learner, 400, 50)
    call(learner, 400, 50)
    call(learner, 4_000, 50)

    assert _fields(backend) == {"level": "-12750", "all": "3 25=3", "10": "2 25=2", "16": "1 25=1"}
    assert learner.output_tokens(KEY, 400) != 1_024


def test_the_script_counts_as_its_model_does(
    call: Callable[..., Receipt], learner: Learner, budget: BudgetManager, backend: Backend
) -> None:
    shelf, twin, chance = Shelf(), Learner(budget.config), random.Random(7)
    for _ in range(150):
        lengths = chance.choice((300, 400, 5_000)), round(chance.lognormvariate(5, 1))
        shelf.take(twin.observation(KEY, *lengths, expected=twin.output_tokens(KEY, lengths[0])))
        call(learner, *lengths)

    assert _fields(backend) == shelf.fields[KEY.slot]
    assert learner.output_tokens(KEY, 400) == twin.output_tokens(KEY, 400)


def test_processes_learn_from_each_other(call: Callable[..., Receipt], budget: BudgetManager) -> None:
    one, other = Learner(budget.config), Learner(budget.config)
    for _ in range(30):
        call(one, 400, 50)
    assert other.output_tokens(KEY, 400) == 1_024

    call(other, 40_000, 50)

    assert other.output_tokens(KEY, 400) == one.output_tokens(KEY, 400) < 100


def test_a_repeated_charge_is_observed_once(call: Callable[..., Receipt], learner: Learner, backend: Backend) -> None:
    call(learner, 400, 50, charge_id="task-1")
    before = dump(backend)

    assert call(learner, 400, 50, charge_id="task-1").first is False
    with pytest.raises(ChargeConflictError):
        call(learner, 400, 5_000, charge_id="task-1", cost="0.002")

    assert dump(backend) == before


def test_a_charge_that_observes_nothing_leaves_nothing_to_learn(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    driver(budget, "charge", "ann", "0.1")

    assert [key for key in dump(backend) if ":l:" in key] == []


def test_what_was_learned_goes_when_it_is_not_used(
    call: Callable[..., Receipt], learner: Learner, backend: Backend
) -> None:
    call(learner, 400, 50)

    with backend.client() as client:
        assert 1_209_000 < client.ttl(FIELDS) <= 1_209_600


# Bounds


def test_old_calls_fade(call: Callable[..., Receipt], learner: Learner, backend: Backend) -> None:
    with backend.client() as client:
        client.hset(FIELDS, mapping={"level": "0", "all": "1000 25=900 30=97 31=3", "10": "500 30=497 31=2 32=1"})

    call(learner, 400, 50)

    assert _fields(backend) == {"level": "-4250", "all": "499 25=450 30=48 31=1", "10": "249 30=248 31=1"}


@pytest.mark.parametrize(("level", "tokens", "then"), [(LEAST + 5, 50, LEAST), (MOST - 5, 5_000, MOST)])
def test_the_level_stays_in_its_bounds(
    call: Callable[..., Receipt], learner: Learner, backend: Backend, level: int, tokens: int, then: int
) -> None:
    with backend.client() as client:
        client.hset(FIELDS, "level", level)

    call(learner, 400, tokens)

    assert _fields(backend)["level"] == str(then)


def test_what_one_kind_of_call_takes_is_bounded(
    call: Callable[..., Receipt], learner: Learner, backend: Backend
) -> None:
    """Every column of a row at its widest, and a row that somebody made longer than that."""
    widest = " ".join(["499", *(f"{column}=999" for column in range(139))])
    with backend.client() as client:
        client.hset(FIELDS, mapping={"all": widest, "10": "1 25=1" + " 26=1" * 1_000})

    call(learner, 400, 50)

    assert len(widest) < 1_200
    assert _fields(backend)["all"] == widest.replace("499 ", "500 ").replace(" 25=999", " 25=1000")
    assert _fields(backend)["10"] == "1 25=1"


# Never in the way


@pytest.mark.parametrize("other", ["list", "text", "set"])
def test_a_key_of_another_type_costs_nothing_but_the_lesson(
    call: Callable[..., Receipt], learner: Learner, driver: Driver, budget: BudgetManager, backend: Backend, other: str
) -> None:
    with backend.client() as client:
        {"list": client.rpush, "text": client.set, "set": client.sadd}[other](FIELDS, "not ours")
        before = client.dump(FIELDS)

        receipt = call(learner, 400, 50, cost="0.1")

        assert client.dump(FIELDS) == before
    assert (receipt.first, receipt.counted) == (True, True)
    assert (spent(driver, budget, "ann"), booked()) == ("0.1", "0.1")
    assert learner.output_tokens(KEY, 400) == 1_024


@pytest.mark.parametrize(
    "text",
    ["", "x", "3", "3 ", "3 x=1", "-3 25=1", "3 25", "3 25=", "\x00", "nan", "é", "3 25=inf", "3 25=" + "9" * 400],
)
def test_what_cannot_be_read_is_begun_anew(
    call: Callable[..., Receipt], learner: Learner, backend: Backend, text: str
) -> None:
    with backend.client() as client:
        client.hset(FIELDS, mapping={"level": text, "all": text, "10": text})

    receipt = call(learner, 400, 50)

    assert receipt.counted
    fields = _fields(backend)
    assert (fields["all"], fields["10"]) == ("1 25=1", "1 25=1")
    assert LEAST <= int(fields["level"]) <= MOST
    assert learner.output_tokens(KEY, 400) != 1_024


@pytest.mark.parametrize("text", ["", "x", "10 25 -4250", "10 25 1.5 0", "10 25 -4250 0 0", "a b c d"])
def test_an_observation_that_is_none_fails_no_charge(
    driver: Driver, budget: BudgetManager, learner: Learner, backend: Backend, text: str
) -> None:
    observed = learner.observation(KEY, 400, 50, expected=1_024)
    assert observed is not None
    spend = replace(spend_of("0.1"), observed=replace(observed, text=text))

    receipt = driver(budget, "drive", budget.guard.charge(budget.guard.accounts("ann", None), spend))

    assert (receipt.counted, spent(driver, budget, "ann")) == (True, "0.1")
    assert [key for key in dump(backend) if ":l:" in key] == []


def test_while_redis_is_down_nothing_is_learned_and_the_cost_is_kept(
    driver: Driver, make: Make, learner: Learner, call: Callable[..., Receipt]
) -> None:
    call(learner, 400, 50)
    before = learner.output_tokens(KEY, 400)
    budget = make(redis_url="redis://127.0.0.1:1/0")
    spend = replace(spend_of("0.1"), observed=learner.observation(KEY, 400, 5_000, expected=before))

    receipt = driver(budget, "drive", budget.guard.charge(budget.guard.accounts("ann", None), spend))

    assert (receipt.counted, learner.output_tokens(KEY, 400)) == (False, before)
