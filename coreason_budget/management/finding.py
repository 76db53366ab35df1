"""``Finding``: one thing that a look at the system has shown, how bad it is, and what to do about it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Finding", "Level", "error", "info", "ok", "warning"]


class Level(StrEnum):
    """How bad it is."""

    OK = "ok"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


@dataclass(frozen=True, slots=True)
class Finding:
    """What was looked at (one word), what was found, and the remedy (empty where none is needed)."""

    level: Level
    check: str
    what: str
    remedy: str = ""


def ok(check: str, what: str) -> Finding:
    """Return that all is as it should be."""
    return Finding(Level.OK, check, what)


def info(check: str, what: str, remedy: str = "") -> Finding:
    """Return something that is good to know."""
    return Finding(Level.INFO, check, what, remedy)


def warning(check: str, what: str, remedy: str) -> Finding:
    """Return that it works, but not as safely or as fast as it should."""
    return Finding(Level.WARNING, check, what, remedy)


def error(check: str, what: str, remedy: str) -> Finding:
    """Return that it does not work, or that a promise is broken."""
    return Finding(Level.ERROR, check, what, remedy)
