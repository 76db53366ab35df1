"""Histories made at once, by the stores themselves: accounts, holds, journal entries and records."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

from django.db import connection

from coreason_budget.ledger.scripts import Charge
from coreason_budget.models import SpendRecord
from coreason_budget.periods import Period, window_at
from coreason_budget.scopes import Scope, Subject

if TYPE_CHECKING:
    from collections.abc import Sequence

    from coreason_budget import BudgetManager, Reservation

__all__ = ["RECORD_NANOS", "USERS", "accounts", "history", "holds", "journal", "record_user", "records"]

USERS: Final = 10_000
RECORD_NANOS: Final = 1_000
AT_ONCE: Final = 1_000

_ACCOUNTS: Final = """
local fields = redis.call('HGETALL', KEYS[1])
for i = ARGV[2], ARGV[3] do
  redis.call('HSET', ARGV[1] .. string.format('%d', i), unpack(fields))
  redis.call('PEXPIRE', ARGV[1] .. string.format('%d', i), redis.call('PTTL', KEYS[1]))
end
"""
_HOLDS: Final = """
local fields, deadline = redis.call('HGETALL', KEYS[1]), redis.call('HGET', KEYS[1], 'dl')
for i = ARGV[3], ARGV[4] do
  local id = ARGV[2] .. string.format('%d', i)
  redis.call('HSET', ARGV[1] .. id, unpack(fields))
  redis.call('PEXPIRE', ARGV[1] .. id, redis.call('PTTL', KEYS[1]))
  redis.call('ZADD', KEYS[2], deadline + i, id)
end
local held = (ARGV[4] - ARGV[3] + 1) * redis.call('HGET', KEYS[1], 'left')
for k = 3, #KEYS do redis.call('HINCRBY', KEYS[k], 'h', string.format('%d', held)) end
"""
_JOURNAL: Final = """
for i = ARGV[1], ARGV[2] do
  redis.call('XADD', KEYS[1], '*', 'c', 'entry-' .. string.format('%d', i), 'n', ARGV[3], 'k', 'charge', 't', ARGV[4],
    'h', '', 'p', ARGV[5])
end
"""
_COLUMNS: Final = (
    "charge_id, journal_id, hold_id, user_id, project_id, model, cost_nanos, input_tokens, output_tokens, kind, at,"
    " metadata"
)
#: A row of the number i; users, projects and models take turns.
_RECORD: Final = (
    "'record-' || i, i, '', 'user' || (i % {users}), 'project' || (i % 20), 'model-' || (i % 12), {nanos}, 400, 100,"
    " 'charge', {at}, '{{}}'"
)
_SQLITE: Final = (
    "INSERT INTO {table} ({columns})"
    " WITH RECURSIVE n(i) AS (SELECT {first} UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT {record} FROM n"
)
_POSTGRESQL: Final = "INSERT INTO {table} ({columns}) SELECT {record} FROM generate_series({first}, {last}) AS n(i)"
_AT: Final = {
    # As Django writes it: six digits, or none for a whole second.
    "sqlite": "replace(strftime('%Y-%m-%d %H:%M:%f000', {start} + i * {step}, 'unixepoch'), '.000000', '')",
    "postgresql": "to_timestamp({start} + i * {step})",
}


def accounts(manager: BudgetManager, like: Subject, count: int) -> None:
    """Give a server ``count`` accounts copied from one that is open: those of user-0, user-1 ..."""
    client, keys = manager.ledger.connections.client(), manager.ledger.keys
    prefix = keys.account(Subject(Scope.USER, "user-"))
    for first, last in _batches(count):
        client.eval(_ACCOUNTS, 1, keys.account(like), prefix, first, last)


def holds(manager: BudgetManager, like: Reservation, subjects: Sequence[Subject], count: int) -> None:
    """Give accounts ``count`` open holds copied from one of theirs."""
    client, keys = manager.ledger.connections.client(), manager.ledger.keys
    names = [keys.hold(like.id), keys.deadlines, *keys.accounts(subjects)]
    for first, last in _batches(count):
        client.eval(_HOLDS, len(names), *names, keys.hold(""), f"{like.id}-", first, last)


def journal(manager: BudgetManager, count: int) -> None:
    """Put ``count`` charges into the journal, as those of processes that are gone."""
    payload = Charge("", 0, "ann", "search", "gpt-4o", input_tokens=400, output_tokens=100).payload()
    client = manager.ledger.connections.client()
    for first, last in _batches(count):
        client.eval(_JOURNAL, 1, manager.ledger.keys.journal, first, last, RECORD_NANOS, manager.ledger.now(), payload)


def records(manager: BudgetManager, before: int, count: int, most: int) -> None:
    """Fill the database from ``before`` up to ``count`` records, which ``most`` of them would spread over today."""
    now = datetime.now(UTC)
    start = window_at(Period.DAY, now, manager.config.time_zone).start
    _fill(before, count, start, (now - start - timedelta(seconds=1)) / most)


def history(manager: BudgetManager, count: int, days: int) -> None:
    """Fill the database with records of so many days, the last of which is today."""
    now = datetime.now(UTC)
    start = window_at(Period.DAY, now - timedelta(days=days - 1), manager.config.time_zone).start
    _fill(0, count, start, (now - start - timedelta(seconds=1)) / count)


def _fill(before: int, count: int, start: datetime, step: timedelta) -> None:
    terms: dict[str, Any] = {
        "table": connection.ops.quote_name(SpendRecord._meta.db_table),
        "columns": _COLUMNS,
        "first": before + 1,
        "last": count,
    }
    at = _AT[connection.vendor].format(start=round(start.timestamp()), step=f"{step.total_seconds():.9f}")
    record = _RECORD.format(users=USERS, nanos=RECORD_NANOS, at=at)
    statement = _SQLITE if connection.vendor == "sqlite" else _POSTGRESQL
    with connection.cursor() as cursor:
        cursor.execute(statement.format(record=record, **terms))
        if connection.vendor == "postgresql":
            cursor.execute("VACUUM ANALYZE")  # as its autovacuum does in time
    connection.close()


def record_user(number: int) -> Subject:
    """Return one of the users that have records."""
    return Subject(Scope.USER, f"user{number % USERS}")


def _batches(count: int) -> list[tuple[int, int]]:
    return [(first, min(first + AT_ONCE, count) - 1) for first in range(0, count, AT_ONCE)]
