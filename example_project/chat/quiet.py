"""Keeps what the budget logs off the terminal."""

from __future__ import annotations

from contextlib import suppress

from loguru import logger

__all__ = ["quiet_loguru"]


def quiet_loguru() -> None:
    """Keep refusals, which are the point here, off the terminal: they go to the budget's log file all the same."""
    with suppress(ValueError):
        logger.remove(0)  # loguru's default handler, which prints everything
