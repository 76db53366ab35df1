"""``examine``: asks the live server and the database whether the budget can keep its promises here."""

from __future__ import annotations

import time
from dataclasses import dataclass
from statistics import median
from typing import TYPE_CHECKING, Final

from django.db import connections
from django.db.migrations.executor import MigrationExecutor

from ..checks import check_settings
from ..exceptions import BudgetError
from ..money import to_usd
from .backlog import count_uncounted, last_drained, overdue_holds
from .finding import Finding, Level, error, info, ok, warning
from .server import Server
from .verification import last_verification

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ..manager import BudgetManager

__all__ = ["examine"]

APP: Final = "coreason_budget"
PINGS: Final = 5
NEEDED_VERSION: Final = (6, 2)
CLOCKS_APART_SECONDS: Final = 2.0
SLOW_SCRIPT_MICROS: Final = 1_000.0
OVERDUE_SECONDS: Final = 300.0


@dataclass(frozen=True, slots=True)
class Patient:
    """What is examined."""

    budget: BudgetManager
    server: Server


def examine(budget: BudgetManager) -> list[Finding]:
    """Return all findings. It changes nothing; what cannot be asked is a finding too."""
    settings = list(_settings())
    if _has_error(settings):
        return settings  # what a wrong setting leads to would hide it
    patient = Patient(budget, Server(budget.ledger))
    redis = list(_made(_redis, patient))
    checks_of_server = () if _has_error(redis) else _SERVER_CHECKS
    findings = [finding for check in (*checks_of_server, _database) for finding in _made(check, patient)]
    return [*settings, *redis, *findings]


def _made(check: Callable[[Patient], Iterator[Finding]], patient: Patient) -> Iterator[Finding]:
    try:
        yield from check(patient)
    except BudgetError as problem:
        yield error(check.__name__.strip("_"), str(problem), "Make sure that it runs and that this machine may ask it.")


def _has_error(findings: list[Finding]) -> bool:
    return any(finding.level is Level.ERROR for finding in findings)


def _settings() -> Iterator[Finding]:
    messages = [message for message in check_settings() if not message.is_silenced()]
    for message in messages:
        level = Level.ERROR if message.is_serious() else Level.WARNING
        yield Finding(level, "settings", f"{message.msg} ({message.id})", message.hint or "")
    if not messages:
        yield ok("settings", "The settings have no mistake.")


# the server ----------------------------------------------------------------------------------------------------------


def _redis(patient: Patient) -> Iterator[Finding]:
    millis = median(_ping(patient.server) for _ in range(PINGS)) * 1000
    what = f"Redis answers in {millis:.2f} ms (median of {PINGS} PINGs)."
    if millis > patient.budget.config.timeout * 1000 / 4:
        yield warning("redis", what, "Every call waits for it twice: put it near, or raise TIMEOUT.")
    else:
        yield ok("redis", what)


def _ping(server: Server) -> float:
    start = time.perf_counter()
    server.ask("PING")
    return time.perf_counter() - start


def _run_id(patient: Patient) -> Iterator[Finding]:
    shown, seen = patient.server.info.get("run_id"), patient.server.script_run_id()
    if seen == "none":
        yield warning(
            "run_id",
            "Scripts see no run id: the server knows no INFO, as fakes do. A restart cannot be noticed.",
            "Use a real Redis or Valkey in production.",
        )
    elif shown is not None and shown != seen:
        yield error(
            "run_id",
            "Scripts see another run id than INFO shows: several servers answer at this address.",
            "Connect to one server, or to a cluster with redis+cluster://; not through a proxy that spreads commands.",
        )
    else:
        yield ok("run_id", f"Scripts see the run id {seen[:8]}..., by which a restart or failover is noticed.")


def _role(patient: Patient) -> Iterator[Finding]:
    role = patient.server.info.get("role")
    if role == "master":
        yield ok("role", "The server is a master.")
    elif role is not None:
        yield error("role", "The server is a replica, which takes no writes.", "Connect to the master, or by Sentinel.")


def _version(patient: Patient) -> Iterator[Finding]:
    shown = patient.server.info.get("redis_version")
    if shown is None:
        return
    version = tuple(int(part) for part in str(shown).split(".")[:2] if part.isdigit())
    if version < NEEDED_VERSION:
        yield error("version", f"The server speaks Redis {shown}.", "The ledger needs Redis 6.2 or Valkey.")
    else:
        yield ok("version", f"The server speaks Redis {shown}.")


def _eviction(patient: Patient) -> Iterator[Finding]:
    policy, maximum = patient.server.info.get("maxmemory_policy"), patient.server.info.get("maxmemory")
    if policy is None or maximum is None:
        return
    remedy = "Set maxmemory-policy to noeviction, or give the ledger a server of its own."
    if maximum == 0:
        yield ok("eviction", "maxmemory is 0: nothing is evicted.")
    elif policy == "noeviction":
        yield ok("eviction", "maxmemory-policy is noeviction.")
    elif policy.startswith("volatile-"):
        yield warning("eviction", f"maxmemory-policy is {policy}: accounts and holds may be evicted.", remedy)
    else:
        yield error(
            "eviction",
            f"maxmemory-policy is {policy}: charges that are not in the database yet may be evicted.",
            remedy,
        )


def _persistence(patient: Patient) -> Iterator[Finding]:
    enabled = patient.server.info.get("aof_enabled")
    if enabled is None:
        return
    if not enabled:
        yield warning(
            "persistence",
            "appendonly is no: a restart of the server loses open holds, and charges that no worker has written yet.",
            "Set appendonly yes and appendfsync everysec.",
        )
        return
    fsync = patient.server.config("appendfsync")
    if fsync == "no":
        yield warning("persistence", "appendfsync is no: a crash loses up to half a minute.", "Set it to everysec.")
    else:
        yield ok("persistence", f"appendonly is yes, appendfsync {fsync or 'cannot be asked'}.")


def _clock(patient: Patient) -> Iterator[Finding]:
    before = time.time()
    seconds, micros = patient.server.ask("TIME")
    here = (before + time.time()) / 2
    apart = int(seconds) + int(micros) / 1_000_000 - here
    what = f"The server's clock is {abs(apart):.3f} s {'ahead of' if apart > 0 else 'behind'} this machine's."
    if abs(apart) > CLOCKS_APART_SECONDS:
        yield warning("clock", what, "Windows begin and end by the server's clock: have NTP set both.")
    else:
        yield ok("clock", what)


def _script_cost(patient: Patient) -> Iterator[Finding]:
    stats = patient.server.commandstats.get("cmdstat_evalsha")
    if not stats or not stats["calls"]:
        return
    what = f"A script takes {stats['usec_per_call']} µs on average ({stats['calls']} calls, all scripts of the server)."
    if stats["usec_per_call"] > SLOW_SCRIPT_MICROS:
        yield warning("script_cost", what, "Look at SLOWLOG and at the server's load: all callers wait in one line.")
    else:
        yield info("script_cost", what)


# the ledger ----------------------------------------------------------------------------------------------------------


def _journal(patient: Patient) -> Iterator[Finding]:
    budget = patient.budget
    entries, age = budget.drive(budget.ledger.journal.backlog())
    what = f"{_count(entries, 'charge waits', 'charges wait')} in the journal, the oldest for {age:.0f} s."
    remedy = "Look at the workers' logs and the database, then run manage.py budget_drain."
    if entries >= budget.config.journal_max_length:
        yield error("journal", f"{what} It is full: calls are refused.", remedy)
    elif age > 2 * budget.config.drain_after:
        yield warning("journal", what, remedy)
    else:
        yield ok("journal", what if entries else "No charge waits in the journal.")


def _holds(patient: Patient) -> Iterator[Finding]:
    overdue, longest = patient.budget.drive(overdue_holds(patient.budget.ledger))
    if not overdue:
        yield ok("holds", "No hold is past its deadline.")
        return
    holds = _count(overdue, "hold is past its deadline", "holds are past their deadline")
    what = f"{holds}, the first by {longest:.0f} s."
    remedy = "Workers end them after responses; where there is no traffic, run manage.py budget_drain."
    yield Finding(Level.WARNING if longest > OVERDUE_SECONDS else Level.INFO, "holds", what, remedy)


def _verified(patient: Patient) -> Iterator[Finding]:
    seen = patient.budget.drive(last_verification(patient.budget.ledger))
    if seen is None:
        return
    what = f"The site's account was proved against the database {seen.age:.0f} s ago"
    if not any(seen.corrections.values()):
        yield ok("verified", f"{what} and was right.")
        return
    wrong = ", ".join(f"{to_usd(nanos):+f} USD ({period})" for period, nanos in seen.corrections.items() if nanos)
    yield warning("verified", f"{what} and was corrected by {wrong}.", "Run manage.py budget_reconcile for the others.")


# the database --------------------------------------------------------------------------------------------------------


def _database(patient: Patient) -> Iterator[Finding]:
    database = patient.budget.ledger.database
    alias = database.alias
    missing = database.call(lambda: _unapplied(alias))
    yield ok("database", f"The database {alias!r} answers.")
    if missing:
        remedy = f"Run manage.py migrate {APP} --database {alias}."
        yield error("migrations", f"Not applied to {alias!r}: {', '.join(missing)}.", remedy)
        return
    yield ok("migrations", "All migrations are applied.")
    uncounted = database.call(count_uncounted)
    if uncounted:
        records = _count(uncounted, "record was", "records were")
        what = f"{records} written while Redis was down and {'is' if uncounted == 1 else 'are'} not counted there yet."
        yield info("uncounted", what, "Workers do it after responses, manage.py budget_drain at once.")
    else:
        yield ok("uncounted", "Redis knows of every record.")
    booked_at = database.call(last_drained)
    if booked_at is not None:
        local = booked_at.astimezone(patient.budget.config.time_zone)
        yield ok("drained", f"The last entry that was drained was booked at {local:%Y-%m-%d %H:%M:%S %Z}.")


def _unapplied(alias: str) -> list[str]:
    executor = MigrationExecutor(connections[alias])
    leaves = executor.loader.graph.leaf_nodes(APP)
    return [migration.name for migration, _ in executor.migration_plan(leaves) if migration.app_label == APP]


def _count(number: int, one: str, many: str) -> str:
    return f"{number} {one if number == 1 else many}"


_SERVER_CHECKS: Final = (
    _run_id,
    _role,
    _version,
    _eviction,
    _persistence,
    _clock,
    _script_cost,
    _journal,
    _holds,
    _verified,
)
