"""
Handing work over to a worker: who pays for calls here goes along as text, and pays for what the work calls there.

Without this a task would not know whose request it was enqueued in. The integrations say what it travels in.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ..log import logger
from ..metering.current import Payer
from ..scopes import ANONYMOUS, clean_id

__all__ = ["KEY", "packed", "unpacked"]

#: Under this name it travels.
KEY: Final = "coreason_budget"


def packed(who: Payer) -> dict[str, str]:
    """Return who pays as JSON can carry it. An anonymous visitor is empty text, which no id can be."""
    return {"user": str(who.user_id)} | ({} if who.project_id is None else {"project": who.project_id})


def unpacked(carried: object, work: str) -> Payer | None:
    """
    Return who pays for work of a name, as packed() has put it; None if nothing was carried.

    What cannot be read is logged and is nobody: a call without a payer is refused.
    """
    if carried is None:
        return None
    try:
        return Payer(*_accounts(carried), view=work[:200])
    except (TypeError, ValueError) as error:
        logger.warning("Nobody pays for the calls of {}, since what it was handed over with is wrong: {}", work, error)
        return None


def _accounts(carried: object) -> tuple[str, str | None]:
    if not isinstance(carried, Mapping):
        raise TypeError(f"it must be a mapping, not {carried!r:.80}.")
    user, project = carried.get("user"), carried.get("project")
    return (
        ANONYMOUS if user == "" else clean_id(user, "user"),
        None if project is None else clean_id(project, "project"),
    )
