"""``manage.py budget_prune``: single records go, and whoever sums up what was spent comes to the same."""

from __future__ import annotations

import random
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta
from io import StringIO
from threading import Event
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from django.apps import apps
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError, connection
from django.db.models import QuerySet, Sum
from freezegun import freeze_time

from coreason_budget import BudgetManager, RefundError
from coreason_budget.history import NANOS, History, kept_from
from coreason_budget.ledger.journal import Journal
from coreason_budget.ledger.records import total, totals
from coreason_budget.management.pruning import Pruning, latest_day
from coreason_budget.management.report import PERIODS_OF, Report
from coreason_budget.models import DailySum, SpendRecord
from coreason_budget.periods import PERIODS, Period, from_ms, window_at, window_named
from coreason_budget.scopes import GLOBAL, Scope, Subject

from .terminal import Terminal, leave_in_journal, run, run_and_fail

if TYPE_CHECKING:
    from collections.abc import Iterator

    from coreason_budget.ledger.steps import Operation

    from ..conftest import Backend
    from ..contract.tools import Clock

BERLIN = ZoneInfo("Europe/Berlin")
POINT = "99999999999999-0"  # a place in the journal after all others

pytestmark = pytest.mark.django_db(transaction=True)


def kept(at: datetime, cost_nanos: int = 1, **values: Any) -> SpendRecord:
    """Return a record as it is in the database, whoever wrote it."""
    number = values.pop("number", SpendRecord.objects.count())
    defaults = {"charge_id": f"kept-{number}", "journal_id": number, "user_id": "ann"}
    return SpendRecord.objects.create(at=at, cost_nanos=cost_nanos, **{**defaults, **values})


def pruned(before: date, zone: ZoneInfo | None = None, size: int = 7, waiting: tuple[str, ...] = ()) -> int:
    return sum(Pruning(before, zone or ZoneInfo("UTC"), size, waiting).batches())


def reports(first: date, last: date, zone: ZoneInfo) -> Iterator[Any]:
    """Yield what every report of these days has, whatever it is by."""
    for by in ([], ["user"], ["project", "model"], ["kind"], ["user", "project", "model", "kind"]):
        for period in ([], *([name] for name in PERIODS_OF)):
            if by or period:
                yield by, period, sorted(map(repr, Report(first, last, zone, [*by, *period]).lines()))


def overview(first: date, last: date, zone: ZoneInfo) -> Iterator[Any]:
    """Yield what the overview of these days shows, of all and of whom it can be asked for, where there is an admin."""
    if not apps.is_installed("django.contrib.admin"):
        return
    from coreason_budget.admin.overview_sums import charted, days_between, rank

    start = window_named(Period.DAY, first.isoformat(), zone).start
    end = window_named(Period.DAY, last.isoformat(), zone).end
    for spent in (History(), History().filter(user_id="u1"), History().filter(project_id="p1", model="m1")):
        for column in ("user_id", "project_id", "model"):
            top = rank(spent.filter(at__gte=start, at__lt=end), column, 10)
            yield top, charted(spent, days_between(first, last, zone)[1], column, [each.name for each in top[:2]])


def accounts(days: list[date], zone: ZoneInfo) -> Iterator[Any]:
    """Yield what accounts would be rebuilt with, and shown with, in windows of any of the days."""
    for day in days:
        windows = {
            period: window_at(period, datetime(*day.timetuple()[:3], 12, tzinfo=zone), zone) for period in PERIODS
        }
        for subject in (GLOBAL, Subject(Scope.USER, "u1"), Subject(Scope.PROJECT, "p1")):
            yield total(subject, windows, POINT, {"gone"})[0]
        yield totals([Subject(Scope.USER, f"u{number}") for number in range(4)], windows)


@pytest.mark.parametrize("seed", range(6))
def test_whoever_sums_up_comes_to_the_same_before_and_after(seed: int) -> None:
    chance = random.Random(seed)
    zone = ZoneInfo(chance.choice(["UTC", "Europe/Berlin", "Pacific/Auckland", "America/St_Johns"]))
    first, last = date(2026, 3, 27), date(2026, 4, 7)  # clocks and the month change in between
    start = window_named(Period.DAY, first.isoformat(), zone).start
    seconds = round((window_named(Period.DAY, last.isoformat(), zone).end - start).total_seconds())
    days = [first + timedelta(days=number) for number in range((last - first).days + 1)]
    midnights = [window_named(Period.DAY, day.isoformat(), zone).start for day in days]

    def some(count: int) -> None:
        for _ in range(count):
            edge = chance.choice(midnights) - timedelta(microseconds=chance.choice([0, 1]))
            at = chance.choice([max(start, edge), start + timedelta(microseconds=chance.randrange(seconds * 10**6))])
            tokens = chance.choice([None, chance.randrange(1_000)])
            kept(
                at,
                chance.choice([1, -1, 0, 10**9]) * chance.randrange(1, 10**6 + 1),
                user_id=f"u{chance.randrange(4)}",
                project_id=chance.choice(["", "p1", "p2"]),
                model=chance.choice(["", "m1", "m2"]),
                kind=chance.choice(SpendRecord.Kind.values),
                input_tokens=tokens,
                output_tokens=tokens,
                number=chance.getrandbits(62),
            )

    def everything() -> list[Any]:
        return [*reports(first, last, zone), *overview(first, last, zone), *accounts(days, zone)]

    some(120)
    for before in sorted(chance.sample(days, 3)):
        some(10)  # late ones, of days that were pruned already
        expected, count = everything(), SpendRecord.objects.count()

        gone = pruned(before, zone, size=chance.choice([1, 7, 1_000]))

        assert everything() == expected
        assert SpendRecord.objects.count() == count - gone
        assert pruned(before, zone) == 0
        midnight = window_named(Period.DAY, before.isoformat(), zone).start
        left = SpendRecord.objects.filter(at__lt=midnight)
        assert all(each.kind == "refund" and each.at >= midnight - timedelta(days=1) for each in left)
        assert (kept_from(zone) or before) <= before
    assert DailySum.objects.exists()


def test_a_sum_is_of_one_day_user_project_model_and_kind() -> None:
    day = datetime(2026, 3, 2, 12, tzinfo=UTC)
    for hours, cost, tokens in ((-12, 5, None), (0, 7, 3), (11, -2, 4)):
        kept(day + timedelta(hours=hours), cost, project_id="p", model="m", input_tokens=tokens, output_tokens=tokens)
    kept(day, 11, user_id="bob", kind="expired")

    assert pruned(date(2026, 3, 3), size=2) == 4

    columns = ("at", "user_id", "project_id", "model", "kind", "cost_nanos", "given_back_nanos", "records")
    assert sorted(DailySum.objects.values_list(*columns, "input_tokens", "output_tokens")) == [
        (day, "ann", "p", "m", "charge", 10, -2, 3, 7, 7),
        (day, "bob", "", "", "expired", 11, 0, 1, 0, 0),
    ]


def test_what_the_ledger_or_a_refund_may_still_need_stays() -> None:
    day = datetime(2026, 3, 2, 12, tzinfo=UTC)
    kept(day, journal_id=None, charge_id="uncounted")
    kept(day, charge_id="in the journal")
    kept(day, charge_id="refund of tomorrow's", kind="refund")
    kept(day - timedelta(days=1), charge_id="an older refund", kind="refund")
    kept(day, 0, charge_id="reset:0123:1", kind="adjustment")
    kept(day, charge_id="gone", kind="adjustment")
    kept(day + timedelta(hours=12), charge_id="the next day")
    work = Pruning(date(2026, 3, 3), ZoneInfo("UTC"), 10, ("in the journal",))

    assert (work.count(), work.count_staying(), sum(work.batches())) == (2, 2, 2)

    left = {"uncounted", "in the journal", "refund of tomorrow's", "reset:0123:1", "the next day"}
    assert set(SpendRecord.objects.values_list("charge_id", flat=True)) == left


@pytest.mark.parametrize("step", ["select_for_update", "delete", "bulk_create"])
@pytest.mark.parametrize("times", [1, 2, 3])
def test_who_is_killed_before_a_step_has_done_whole_batches(
    step: str, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(10):
        kept(datetime(2026, 3, 2, 12, tzinfo=UTC), 10**number)
    work, calls = getattr(QuerySet, step), []

    def killed(*args: Any, **kwargs: Any) -> Any:
        calls.append(args)
        if len(calls) == times:
            raise KeyboardInterrupt
        return work(*args, **kwargs)

    with monkeypatch.context() as patch:
        patch.setattr(QuerySet, step, killed)
        with pytest.raises(KeyboardInterrupt):
            pruned(date(2026, 3, 3), size=3)

    left = SpendRecord.objects.count()
    assert left % 3 == 1
    assert spent() == 1_111_111_111
    assert pruned(date(2026, 3, 3), size=3) == left
    assert (spent(), DailySum.objects.get().records) == (1_111_111_111, 10)


def test_a_batch_that_somebody_else_has_pruned_is_done_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    for number in range(4):
        kept(datetime(2026, 3, 2, 12, tzinfo=UTC), 10**number)
    delete, tries = QuerySet.delete, list[Any]()

    def overtaken(rows: Any) -> Any:
        tries.append(rows.model)
        return (0, {}) if len(tries) == 1 else delete(rows)

    monkeypatch.setattr(QuerySet, "delete", overtaken)

    assert pruned(date(2026, 3, 3)) == 4
    assert tries == [SpendRecord, SpendRecord]
    assert spent() == 1_111


def test_who_sums_up_in_the_middle_of_a_batch_counts_everything_once(monkeypatch: pytest.MonkeyPatch) -> None:
    day = window_at(Period.DAY, datetime(2026, 3, 2, 12, tzinfo=UTC), ZoneInfo("UTC"))
    for number in range(4):
        kept(day.start + timedelta(hours=12), 10**number)
    add, is_deleted, go_on = Pruning._add, Event(), Event()

    def slow(work: Pruning, *args: Any) -> None:
        is_deleted.set()
        assert go_on.wait(60)
        add(work, *args)

    def prune() -> int:
        try:
            return pruned(date(2026, 3, 3))
        finally:
            connection.close()

    def rebuilt() -> int:
        return total(GLOBAL, {Period.DAY: day}, POINT, set())[0][Period.DAY]

    monkeypatch.setattr(Pruning, "_add", slow)
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(prune)
        try:
            assert is_deleted.wait(60)
            assert (rebuilt(), spent()) == (1_111, 1_111)
        finally:
            go_on.set()
        assert run.result(60) == 4

    assert (rebuilt(), spent(), SpendRecord.objects.count()) == (1_111, 1_111, 0)


def test_a_question_is_one_statement_that_no_prune_can_come_between(django_assert_num_queries: Any) -> None:
    kept(datetime(2026, 3, 2, 12, tzinfo=UTC), 5)
    day = window_at(Period.DAY, datetime(2026, 3, 2, 12, tzinfo=UTC), ZoneInfo("UTC"))
    ann = Subject(Scope.USER, "ann")

    with django_assert_num_queries(1):
        assert spent() == 5
    with django_assert_num_queries(2):  # the other is what was reset, which is not pruned
        assert total(ann, {Period.DAY: day}, POINT, set())[0] == {Period.DAY: 5}
    with django_assert_num_queries(1):
        assert totals([ann], {Period.DAY: day}) == {ann: {Period.DAY: 5}}


def test_two_at_once_and_a_late_charge_count_everything_once() -> None:
    for number in range(60):
        kept(datetime(2026, 3, 1 + number % 3, 12, tzinfo=UTC), 1, user_id=f"u{number % 5}")

    def prune(_: int) -> int:
        try:
            return pruned(date(2026, 3, 4), size=4)
        finally:
            connection.close()

    def late(number: int) -> None:
        kept(datetime(2026, 3, 2, 12, tzinfo=UTC), 1_000, number=1_000 + number)
        connection.close()

    with ThreadPoolExecutor(4) as pool:
        runs = [pool.submit(prune, number) for number in range(2)]
        lates = [pool.submit(late, number) for number in range(5)]
        done = sum(run.result(60) for run in runs)
        for each in lates:
            each.result(60)

    assert spent() == 5_060
    assert done + SpendRecord.objects.count() == 65
    assert DailySum.objects.aggregate(all=Sum("records"))["all"] == done
    assert pruned(date(2026, 3, 4)) == 65 - done
    assert spent() == 5_060


def spent() -> int:
    return History().sums({"nanos": NANOS})["nanos"]


# the command ---------------------------------------------------------------------------------------------------------


def test_the_command_prunes_what_is_old_and_accounts_are_rebuilt_with_the_same(
    budget: BudgetManager, backend: Backend, clock: Clock
) -> None:
    with freeze_time(from_ms(clock.ms), ignore=["redis", "fakeredis"]):
        kept(from_ms(clock.ms) - timedelta(days=60), 5)
        kept(from_ms(clock.ms) - timedelta(hours=1), 7, number=2)

        assert run("budget_prune", "--before", "2030-02-06", "--dry-run") == (
            "1 record before 2030-02-06 would be pruned.\n"
        )
        assert SpendRecord.objects.count() == 2
        assert run("budget_prune", "--before", "2030-02-06") == (
            "1 record before 2030-02-06 pruned; their daily sums are kept.\n"
        )
        assert run("budget_prune", "--before", "2030-02-06") == (
            "0 records before 2030-02-06 pruned; their daily sums are kept.\n"
        )

        assert spent() == 12
        assert [item.spent * 10**9 for item in budget.status("ann")] == [7, 7]


def test_a_day_that_the_ledger_may_still_need_is_refused(budget: BudgetManager, clock: Clock) -> None:
    with (
        freeze_time(from_ms(clock.ms) + timedelta(days=400), ignore=["redis", "fakeredis"]),  # the server's is right
        pytest.raises(CommandError, match=r"2030-02-07 is too young.* can be given is 2030-02-06"),
    ):
        run("budget_prune", "--before", "2030-02-07")


@pytest.mark.parametrize("day", [date(2026, 3, 31), date(2026, 12, 31), date(2028, 3, 1)])
def test_no_window_of_now_can_be_pruned(day: date) -> None:
    now = datetime(*day.timetuple()[:3], 23, tzinfo=UTC)
    first = min(window_at(period, now, BERLIN).first_day for period in PERIODS)

    assert latest_day(now, BERLIN) < first - timedelta(days=3)


def test_what_waits_in_the_journal_is_written_first_and_what_stays_is_said(
    budget: BudgetManager, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    with freeze_time(from_ms(clock.ms), ignore=["redis", "fakeredis"]):
        old = from_ms(clock.ms) - timedelta(days=60)
        leave_in_journal(budget, monkeypatch, "0.5")
        kept(old, 5)
        monkeypatch.setattr(Journal, "charge_ids", lambda *_: returned({"kept-1"}))
        kept(old, 6, charge_id="kept-1", number=1)

        code, out = run_and_fail("budget_prune", "--before", "2030-02-06")

    assert code == 1
    assert out.splitlines()[0] == "1 record before 2030-02-06 pruned; their daily sums are kept."
    assert out.splitlines()[1].startswith("1 record of these days stays:")
    assert SpendRecord.objects.filter(cost_nanos=500_000_000).exists()
    assert spent() == 500_000_011


def returned(value: set[str]) -> Operation[set[str]]:
    yield from ()
    return value


def test_a_long_backlog_is_to_be_drained_first(budget: BudgetManager, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Journal, "charge_ids", lambda *_: returned(set(map(str, range(10_001)))))
    with pytest.raises(CommandError, match=r"More than 10000 charges wait in the journal: run manage.py budget_drain"):
        run("budget_prune", "--before", "2020-01-01")


@pytest.mark.parametrize("size", ["0", "50001"])
def test_a_batch_has_a_size(budget: BudgetManager, size: str) -> None:
    with pytest.raises(CommandError, match=r"--batch-size must be 1 to 50000"):
        run("budget_prune", "--before", "2020-01-01", "--batch-size", size)


def test_a_database_that_fails_has_an_exit_code_of_its_own(
    budget: BudgetManager, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_: Pruning) -> Iterator[int]:
        raise OperationalError("nobody listens")

    monkeypatch.setattr(Pruning, "batches", refused)
    with pytest.raises(CommandError, match=r"The database cannot be used: nobody listens") as raised:
        run("budget_prune", "--before", "2020-01-01")
    assert raised.value.returncode == 2


def test_progress_is_shown_on_a_terminal(budget: BudgetManager) -> None:
    for number in range(3):
        kept(datetime(2020, 3, 2, 12, tzinfo=UTC), number=number)
    err = Terminal()

    call_command(
        "budget_prune", "--before", "2020-03-03", "--batch-size", "2", stdout=StringIO(), stderr=err, no_color=True
    )

    assert err.getvalue() == "\r2 of 3 records pruned\r3 of 3 records pruned\n"


def test_a_refund_of_what_was_pruned_says_why_not(budget: BudgetManager) -> None:
    kept(datetime(2026, 3, 2, 12, tzinfo=UTC), 5, charge_id="old")
    pruned(date(2026, 3, 3))

    with pytest.raises(RefundError, match=r"'old'.* before 2026-03-03 were pruned, and cannot be refunded any more"):
        budget.refund("old")
