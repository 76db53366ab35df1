"""What a command that a process sends is about."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from coreason_budget.ledger.scripts import script

from .stores import SCRIPTS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["booked_by", "id_in", "name_of", "subjects_in"]

_names: Final = {text: name for name in SCRIPTS for text in (script(name).sha, script(name).source)}


def name_of(args: Sequence[Any]) -> str | None:
    """Return the name of the script that a command runs, None if it runs none."""
    return _names[args[1]] if args[0] in {"EVAL", "EVALSHA"} else None


def subjects_in(keys: Sequence[str]) -> tuple[str, ...]:
    """Return the subjects of account keys."""
    return tuple(key.partition(":a:")[2] for key in keys)


def id_in(key: str) -> str:
    """Return the id that a key of a hold or a charge ends with."""
    return key.partition("}:")[2][2:]


def booked_by(args: Sequence[Any], reply: Any) -> list[str]:
    """Return the charge ids that a reply tells somebody to write down."""
    match name_of(args), [str(part) for part in reply or ()]:
        case "charge" | "refund" | "reset", ["ok", "1", *_]:
            charge_id = id_in(args[3])
            return [charge_id, f"{charge_id}~refund"]
        case "sweep", ["expired", *_]:
            return [f"expired:{id_in(args[3])}"]
        case "release", ["refunded", *_]:
            return [f"{id_in(args[3])}~refund"]
        case _:
            return []
