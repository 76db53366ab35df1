"""``known_subjects``: whose accounts the ledger has in Redis."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

from ..ledger.steps import unavailable
from ..scopes import Scope, Subject, subject_of_key

if TYPE_CHECKING:
    from ..ledger.redis import RedisLedger

__all__ = ["known_subjects"]

PAGE: Final = 1000


def known_subjects(ledger: RedisLedger) -> list[Subject]:
    """
    Return the subjects of all accounts in Redis, also on a cluster, in the order of reporting.

    Raise BudgetUnavailableError.
    """
    prefix = ledger.keys.accounts_prefix
    # A key prefix may hold what means something in a pattern.
    pattern = re.sub(r"([\\*?\[\]^-])", r"\\\1", prefix) + "*"
    try:
        keys = list(ledger.connections.client().scan_iter(match=pattern, count=PAGE))
    except Exception as error:  # a driver raises what it likes
        raise unavailable(error) from error
    subjects = {subject for key in keys if (subject := _subject(_text(key), prefix)) is not None}
    order = list(Scope)
    return sorted(subjects, key=lambda subject: (order.index(subject.scope), subject.id))


def _subject(key: str, prefix: str) -> Subject | None:
    try:
        return subject_of_key(key.removeprefix(prefix))
    except ValueError:
        return None  # not written by this app


def _text(key: Any) -> str:
    return key.decode() if isinstance(key, bytes) else str(key)
