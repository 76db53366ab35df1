"""Asking until the accounts of a call are open and their limits fresh: what is missing is rebuilt, what is old read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from ..exceptions import BudgetUnavailableError
from ..log import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ..scopes import Subject
    from .redis import RedisLedger
    from .scripts import Deposit
    from .steps import Operation

__all__ = ["opened", "refresh_later"]

#: How often an operation opens accounts that another loss closed again before it gives up.
ROUNDS: Final = 12


def opened(ledger: RedisLedger, deposit: Deposit, ask: Callable[[], Operation[list[str]]]) -> Operation[list[str]]:
    """Return the first answer that is no complaint about an account. Raise BudgetUnavailableError if there is none."""
    for _ in range(ROUNDS):
        reply = yield from ask()
        match reply:
            case ["missing", *indexes]:
                for index in indexes:
                    yield from ledger.rebuild(deposit.subjects[int(index) - 1])
            case ["stale", *pairs]:
                for i, version in _pairs(pairs):
                    yield from _fresh_or_known(ledger, deposit.subjects[i - 1], version)
            case _:
                return reply
    raise BudgetUnavailableError("An account could not be opened: Redis loses it as fast as it is rebuilt.")


def refresh_later(ledger: RedisLedger, deposit: Deposit, outdated: Sequence[str]) -> None:
    """Have limits read again in the background, before they are too old."""
    if outdated and not ledger.database.is_inline():
        for i, version in _pairs(outdated):
            subject = deposit.subjects[i - 1]
            ledger.database.post(lambda s=subject, v=version: ledger.run(ledger.reload_limits(s, v)))  # type: ignore[misc]


def _fresh_or_known(ledger: RedisLedger, subject: Subject, version: str) -> Operation[None]:
    """Reload limits; while the database does not answer go on with the known ones, unless they were changed."""
    try:
        yield from ledger.reload_limits(subject, version)
    except BudgetUnavailableError as error:
        keys = [ledger.keys.account(subject)]
        reply = yield from ledger.call("limits", keys, (ledger.injected_now(), version, "known", "", "", ""))
        if reply[0] != "known":
            raise
        logger.warning("The limits of {} could not be read and stay as they were: {}", subject.label, error)


def _pairs(flat: Sequence[str]) -> Iterator[tuple[int, str]]:
    return ((int(i), version) for i, version in zip(flat[::2], flat[1::2], strict=True))
