"""What is noted of refused calls, on every store: the decision under its reference, bounded in time and number."""

from __future__ import annotations

from datetime import date
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import ANONYMOUS, BudgetExceededError
from coreason_budget.models import ProjectLimit
from coreason_budget.refusals.notes import Note
from coreason_budget.refusals.places import Place, placed
from coreason_budget.refusals.store import counts, find, newest

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver
    from tests.contract.tools import Clock, Make

pytestmark = pytest.mark.django_db(transaction=True)

TODAY = date(2030, 3, 13)


class AtPlace:
    """A manager that is asked in a view."""

    def __init__(self, budget: BudgetManager) -> None:
        self.budget = budget
        self.place = Place(lambda: "shop.views.ask", "/ask/")

    def reserve(self, *args: Any) -> Any:
        with placed(self.place):
            return self.budget.reserve(*args)

    async def areserve(self, *args: Any) -> Any:
        with placed(self.place):
            return await self.budget.areserve(*args)


def refused(
    driver: Driver, budget: BudgetManager | AtPlace, *args: Any, operation: str = "reserve", **kwargs: Any
) -> str:
    """Have a call refused; return the reference."""
    with pytest.raises(BudgetExceededError) as caught:
        driver(budget, operation, *args, **kwargs)
    return caught.value.reference


def noted(budget: BudgetManager, reference: str) -> Note:
    """Return what is noted under a reference, once it is."""
    assert budget.guard.refusals.flush(10)
    note = budget.drive(find(budget.ledger, reference))
    assert note is not None
    return note


def test_the_decision_is_found_by_the_reference(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    driver(budget, "charge", "ann", "0.75", "apollo")
    driver(budget, "reserve", "ann", "apollo", "0.125")

    reference = refused(driver, AtPlace(budget), "ann", "apollo", "0.5")

    assert noted(budget, reference) == Note(
        at=clock.ms,
        first=clock.ms,
        times=1,
        user="ann",
        project="apollo",
        level="user",
        period="day",
        spent=750_000_000,
        held=125_000_000,
        limit=1_000_000_000,
        asked=500_000_000,
        resets=clock.ms + 12 * 3_600_000,
        view="shop.views.ask",
        path="/ask/",
    )


@pytest.mark.parametrize("operation", ["reserve", "check"])
@pytest.mark.parametrize(
    ("limits", "args", "whose"),
    [
        ({"daily_user_limit_usd": 1}, ("ann", "apollo"), ("user", "ann")),
        ({"daily_user_limit_usd": 1}, (ANONYMOUS,), ("user", "")),
        ({"monthly_project_limit_usd": 1, "daily_user_limit_usd": None}, ("ann", "apollo"), ("project", "apollo")),
        ({"weekly_global_limit_usd": 1, "daily_user_limit_usd": None}, ("ann", "apollo"), ("global", "")),
    ],
)
def test_it_says_whose_account_had_no_room(
    driver: Driver, make: Make, limits: dict[str, Any], args: tuple[str, ...], whose: tuple[str, str], operation: str
) -> None:
    budget = make(**limits)

    note = noted(budget, refused(driver, budget, *args, amount=2, operation=operation))

    assert (note.level, note.subject.id, note.user, note.project) == (*whose, args[0], "".join(args[1:]))


def test_who_tries_again_is_given_the_same_reference(driver: Driver, budget: BudgetManager, clock: Clock) -> None:
    begun = clock.ms
    first = refused(driver, budget, "ann", amount=2)
    clock.move(seconds=60)
    second = refused(driver, budget, "ann", amount=3)
    others = [refused(driver, budget, "bob", amount=2), refused(driver, budget, "ann", "apollo", amount=2)]
    clock.move(seconds=60)
    driver(budget, "charge", "ann", "0.25")
    third = refused(driver, budget, "ann", amount=2)
    clock.move(seconds=60, milliseconds=1)
    later = refused(driver, budget, "ann", amount=2)

    assert first == second == third
    assert len({first, later, *others}) == 4
    note = noted(budget, first)
    assert (note.times, note.first, note.at) == (3, begun, begun + 120_000)
    assert (note.spent, note.asked) == (250_000_000, 2_000_000_000)


def test_a_changed_limit_is_another_reason(driver: Driver, budget: BudgetManager) -> None:
    limit = ProjectLimit.objects.create(project_id="apollo", amount_usd="0.5")
    first = refused(driver, budget, "ann", "apollo", amount="0.75")
    limit.amount_usd = Decimal("0.25")
    limit.save()
    second = refused(driver, budget, "ann", "apollo", amount="0.75")

    assert (noted(budget, first).limit, noted(budget, second).limit) == (500_000_000, 250_000_000)


def test_the_newest_are_listed_and_the_oldest_of_too_many_go(
    driver: Driver, make: Make, clock: Clock, backend: Backend
) -> None:
    budget = make(daily_user_limit_usd=1, refusals_kept=3)
    given = []
    for user in ("a", "b", "c", "d", "e"):
        given.append(refused(driver, budget, user, amount=2))
        clock.move(milliseconds=1)

    assert budget.guard.refusals.flush(10)

    listed = budget.drive(newest(budget.ledger, 10))
    assert [(reference, note.user) for reference, note in listed] == list(zip(given[:1:-1], "edc", strict=True))
    assert [reference for reference, _ in budget.drive(newest(budget.ledger, 2))] == given[:2:-1]
    assert budget.drive(find(budget.ledger, given[0])) is None
    with backend.client() as client:
        assert client.hlen("{coreason-budget}:refusals") == client.zcard("{coreason-budget}:refusals:at") == 3


def test_a_note_is_kept_for_its_time(driver: Driver, make: Make, clock: Clock, backend: Backend) -> None:
    budget = make(daily_user_limit_usd=1, refusal_ttl=3_600)
    reference = refused(driver, budget, "ann", amount=2)
    noted(budget, reference)
    with backend.client() as client:
        for key in ("{coreason-budget}:refusals", "{coreason-budget}:refusals:at"):
            assert 3_500_000 < client.pttl(key) <= 3_600_000

    clock.move(hours=1)
    assert budget.drive(find(budget.ledger, reference)) is not None
    clock.move(milliseconds=1)
    assert budget.drive(find(budget.ledger, reference)) is None
    assert budget.drive(newest(budget.ledger, 10)) == []

    noted(budget, refused(driver, budget, "bob", amount=2))
    with backend.client() as client:
        assert client.hlen("{coreason-budget}:refusals") == 1


def test_none_are_kept_where_the_settings_say_so(driver: Driver, make: Make) -> None:
    budget = make(daily_user_limit_usd=1, refusals_kept=0)

    assert refused(driver, budget, "ann", amount=2) == ""

    assert budget.guard.refusals.flush(10)
    assert budget.drive(newest(budget.ledger, 10)) == []
    assert budget.drive(counts(budget.ledger)).between(TODAY, TODAY) == {"user": 1, "project": 0, "global": 0}


def test_refused_calls_are_counted_by_day_and_level(driver: Driver, make: Make, clock: Clock) -> None:
    budget = make(daily_user_limit_usd=1, daily_project_limit_usd="0.5", time_zone="Asia/Kathmandu")
    assert budget.drive(counts(budget.ledger)).since is None
    for _ in range(3):
        refused(driver, budget, "ann", amount=2)
    refused(driver, budget, "ann", "apollo", amount="0.75")
    clock.set("2030-03-13T18:15:00+00:00")  # midnight in Kathmandu
    refused(driver, budget, "ann", amount=2)

    assert budget.guard.refusals.flush(10)

    found = budget.drive(counts(budget.ledger))
    assert found.since == TODAY
    assert found.between(TODAY, TODAY) == {"user": 3, "project": 1, "global": 0}
    assert found.between(TODAY, date(2030, 3, 14)) == {"user": 4, "project": 1, "global": 0}
    assert found.between(date(2030, 3, 14), date(2030, 3, 20)) == {"user": 1, "project": 0, "global": 0}
    assert found.dropped(TODAY, TODAY) == 0


def test_counts_of_days_long_ago_go(driver: Driver, budget: BudgetManager, clock: Clock, backend: Backend) -> None:
    refused(driver, budget, "ann", amount=2)
    assert budget.guard.refusals.flush(10)
    clock.move(days=399)
    refused(driver, budget, "ann", amount=2)
    assert budget.guard.refusals.flush(10)
    found = budget.drive(counts(budget.ledger))
    assert (found.since, sum(found.between(TODAY, date(2032, 1, 1)).values())) == (TODAY, 2)

    clock.move(days=1)
    refused(driver, budget, "ann", amount=2)
    assert budget.guard.refusals.flush(10)

    found = budget.drive(counts(budget.ledger))
    assert (found.since, sum(found.between(TODAY, date(2032, 1, 1)).values())) == (date(2030, 3, 14), 2)
    with backend.client() as client:
        assert client.hlen("{coreason-budget}:refusals:days") == 3


def test_what_another_version_noted_is_left_out(driver: Driver, budget: BudgetManager, backend: Backend) -> None:
    reference = refused(driver, budget, "ann", amount=2)
    noted(budget, reference)
    with backend.client() as client:
        for number, text in enumerate(("{", "[]", "{}", '{"at":1}', '"x"')):
            client.hset("{coreason-budget}:refusals", f"bad-{number}", text)
            client.zadd("{coreason-budget}:refusals:at", {f"bad-{number}": 1})

    assert [found for found, _ in budget.drive(newest(budget.ledger, 10))] == [reference]
    assert budget.drive(find(budget.ledger, "bad-1")) is None
