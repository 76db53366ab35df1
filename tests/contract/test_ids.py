"""Who pays: no two ids share an account, and visitors without one share exactly one."""

from __future__ import annotations

from typing import TYPE_CHECKING
from uuid import UUID

import pytest

from coreason_budget import ANONYMOUS, BudgetExceededError
from coreason_budget.models import SpendRecord

from .tools import account, booked, held, lose_accounts, spent

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

    from .tools import Make

pytestmark = pytest.mark.django_db(transaction=True)

AWKWARD = [
    "a", "a:b", "a:b:c", "b:c", "{a}", "}", "a/b", "a%2Fb", "a%3Ab", "%", "%25", "🦊", "🦊 ", " 🦊", "a b",
    "a,b", "a|b", "é", "e\u0301", "A", "user:a", "project:a", "global:", "anonymous", "None", "0", "00", "*", "?",
    "[a]", "x" * 200,
]  # fmt: skip


def test_awkward_ids_never_share_an_account(driver: Driver, make: Make, backend: Backend) -> None:
    budget = make(daily_user_limit_usd="1000", daily_project_limit_usd="1000")
    for number, name in enumerate(AWKWARD, 1):
        driver(budget, "charge", name, number, AWKWARD[-number])

    def figures() -> list[list[int]]:
        calls = [driver(budget, "status", *pair) for pair in zip(AWKWARD, reversed(AWKWARD), strict=True)]
        return [[int(item.spent) for item in items if item.scope != "global"] for items in calls]

    # each id was charged its place in the list: as a user from the front, as a project from the back
    expected = [[number, number] for number in range(1, len(AWKWARD) + 1)]
    assert figures() == expected
    assert budget.flush(10)
    lose_accounts(backend)
    assert figures() == expected
    assert set(SpendRecord.objects.values_list("user_id", flat=True)) == set(AWKWARD)


def test_a_user_and_a_project_of_the_same_name_are_two(driver: Driver, budget: BudgetManager) -> None:
    driver(budget, "charge", "a", "0.1", "b")

    assert spent(driver, budget, "b") == "0"
    assert spent(driver, budget, "b", "a", scope="project") == "0"
    assert spent(driver, budget, "a", "b", scope="project") == "0.1"


def test_awkward_charge_ids_are_apart_too(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    for name in AWKWARD:
        assert driver(budget, "charge", "ann", "0.001", charge_id=name).first is True
    for name in AWKWARD:
        assert driver(budget, "charge", "ann", "0.001", charge_id=name).first is False

    assert set(SpendRecord.objects.values_list("charge_id", flat=True)) == set(AWKWARD)


def test_keys_of_all_kinds_are_text(driver: Driver, budget: BudgetManager) -> None:
    key = UUID("12345678-1234-5678-1234-567812345678")
    driver(budget, "charge", 7, "0.1", key)

    assert spent(driver, budget, "7") == "0.1"
    assert spent(driver, budget, "x", str(key), scope="project") == "0.1"


def test_anonymous_visitors_share_one_account_that_no_id_can_name(driver: Driver, make: Make) -> None:
    budget = make(daily_user_limit_usd="1", anonymous_daily_limit_usd="0.2")

    driver(budget, "charge", ANONYMOUS, "0.15")

    item = account(driver, budget, ANONYMOUS)
    assert (item.subject, f"{item.limit:f}", f"{item.remaining:f}") == ("", "0.2", "0.05")
    for name in ("anonymous", "ANONYMOUS", "None"):
        assert (spent(driver, budget, name), account(driver, budget, name).limit) == ("0", 1)
    with pytest.raises(BudgetExceededError) as refused:
        driver(budget, "reserve", ANONYMOUS, amount="0.06")
    assert (refused.value.scope, refused.value.subject) == ("user", "")
    assert booked(user_id="") == "0.15"


def test_anonymous_visitors_have_the_limit_of_users_unless_they_have_their_own(driver: Driver, make: Make) -> None:
    assert account(driver, make(daily_user_limit_usd="3"), ANONYMOUS).limit == 3

    blocked = make(daily_user_limit_usd="3", anonymous_daily_limit_usd=0)
    with pytest.raises(BudgetExceededError, match="is blocked"):
        driver(blocked, "check", ANONYMOUS)


def test_anonymous_records_are_counted_again_after_a_loss(
    driver: Driver, budget: BudgetManager, backend: Backend
) -> None:
    driver(budget, "charge", ANONYMOUS, "0.15", "apollo")
    driver(budget, "charge", "ann", "0.3")
    assert budget.flush(10)
    lose_accounts(backend)

    assert spent(driver, budget, ANONYMOUS) == "0.15"
    assert spent(driver, budget, "ann", scope="global") == "0.45"


def test_installations_with_other_prefixes_share_nothing(driver: Driver, make: Make) -> None:
    one, two = make(key_prefix="one"), make(key_prefix="two")

    driver(one, "reserve", "ann", amount="0.5")

    assert (held(driver, one, "ann"), held(driver, two, "ann")) == ("0.5", "0")
