"""
The app's log: loguru, as a good guest. It never removes a handler of the project.

Records go to a rotating JSON file of our own (``LOG_PATH``, opened at the first record) and to the standard library's
logger ``coreason_budget``. Charges are DEBUG, refusals INFO, failures ERROR.
"""

from __future__ import annotations

import logging
import os
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Final

from loguru import logger as _loguru

if TYPE_CHECKING:
    from loguru import Record

    from .conf import BudgetConfig

__all__ = ["configure", "debug_is_on", "logger", "write_no_file"]

NAME: Final = "coreason_budget"

#: Everything that this app logs carries the mark that its own sinks select by.
logger = _loguru.bind(coreason_budget=True)

_standard = logging.getLogger(NAME)
_lock = threading.Lock()
_sinks: dict[str, int] = {}
_writes_file = True


def configure(config: BudgetConfig, *, to_file: bool = True) -> None:
    """Add our sinks, once per process and path. An unwritable path warns once, and all goes on without a file."""
    with _lock:
        if "standard" not in _sinks:
            _sinks["standard"] = _loguru.add(_forward, level="DEBUG", filter=_is_ours, format="{message}")
        path = config.log_path
        if to_file and _writes_file and path and path not in _sinks:
            _sinks[path] = _add_file(path)


def write_no_file() -> None:
    """
    Have this process log to the standard logger only; for management commands.

    A command that root runs would create a file that the workers cannot write.
    """
    global _writes_file  # noqa: PLW0603 - what kind of process this is
    _writes_file = False


def debug_is_on() -> bool:
    """
    Tell whether records of single charges are wanted: the standard logger is enabled for DEBUG.

    Without asking, loguru's default handler would format a line to stderr for every charge.
    """
    return _standard.isEnabledFor(logging.DEBUG)


def _add_file(path: str) -> int:
    if not _is_writable(Path(path)):
        warnings.warn(
            f"coreason_budget cannot write its log to {path!r}; set COREASON_BUDGET['LOG_PATH'] to a writable path, or "
            "to '' for no file.",
            RuntimeWarning,
            stacklevel=3,
        )
        return -1
    return _loguru.add(
        path,
        level="DEBUG",
        filter=_is_ours,
        serialize=True,
        rotation="10 MB",
        retention=5,
        delay=True,
        watch=True,  # another worker process may have rotated the file
        catch=True,
        encoding="utf-8",
    )


def _is_writable(path: Path) -> bool:
    """Tell whether a file can be written there, without creating it: it is opened at the first record."""
    if path.exists():
        return path.is_file() and os.access(path, os.W_OK)
    parent = next(folder for folder in path.absolute().parents if folder.exists())
    return parent.is_dir() and os.access(parent, os.W_OK)


def _is_ours(record: Record) -> bool:
    return record["extra"].get("coreason_budget") is True


def _forward(message: object) -> None:
    record: Record = message.record  # type: ignore[attr-defined]  # loguru passes a str that carries its record
    _standard.log(record["level"].no, "%s", record["message"])
