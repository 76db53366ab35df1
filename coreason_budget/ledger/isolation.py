"""Whether a test runs, and what stands in for the configured server while it does. See ``coreason_budget.testing``."""

from __future__ import annotations

import ipaddress
import sys
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .connection import Connections

__all__ = ["Isolation", "current", "enter", "is_in_test_case", "leave", "under_test", "warn_of_shared_server"]

DEFAULT_PORTS: Final = {6379, 26379}


@dataclass(frozen=True, eq=False, slots=True)
class Isolation:
    """
    What a test uses instead of what the settings say.

    ``server`` hands out the clients of every manager of the process. ``database`` is the connection of the thread that
    runs the test, which other threads borrow as long as it is in a ``TestCase``'s transaction or in memory.
    """

    server: Connections
    database: BaseDatabaseWrapper | None


_entered: list[Isolation] = []
_warned = False


def current() -> Isolation | None:
    """Return the innermost isolation that is in force, None if there is none."""
    return _entered[-1] if _entered else None


def enter(isolation: Isolation) -> None:
    """Put an isolation in force, for all threads."""
    _entered.append(isolation)


def leave(isolation: Isolation) -> None:
    """End an isolation."""
    _entered.remove(isolation)


def under_test() -> bool:
    """Tell whether Django's test environment is set up in this process."""
    utils = sys.modules.get("django.test.utils")
    return utils is not None and hasattr(utils._TestState, "saved_data")  # noqa: SLF001 - there is no public way


def is_in_test_case(connection: BaseDatabaseWrapper) -> bool:
    """Tell whether a TestCase's own transaction is open: the mark that ``atomic(durable=True)`` looks at."""
    return any(getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def warn_of_shared_server(connection_class: type, options: Mapping[str, Any]) -> None:
    """Warn, once in a process, if a test is about to spend the budgets of a server that was not started for it."""
    global _warned  # noqa: PLW0603 - once in a process
    if _warned or not under_test() or _is_for_tests(connection_class, options):
        return
    warnings.warn(
        "This test run spends the budgets of the Redis server in your settings: they are not isolated. Use "
        "coreason_budget.testing (IsolatedBudgetsMixin, isolated_budgets, or its pytest fixture). If that server is "
        "only for tests, ignore this warning.",
        RuntimeWarning,
        stacklevel=2,
    )
    _warned = True


def _is_for_tests(connection_class: type, options: Mapping[str, Any]) -> bool:
    """Tell whether a server is a fake one, or one on this machine and no usual port, as test runs start them."""
    if any(cls.__module__.partition(".")[0] == "fakeredis" for cls in connection_class.__mro__):
        return True
    host = str(options.get("host", ""))
    return _is_loopback(host) and options.get("port", 6379) not in DEFAULT_PORTS


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
