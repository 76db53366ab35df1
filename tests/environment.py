"""The environment of a program that a test runs for itself: not measured, and no worker of the test run."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["own_environment"]

_OF_THE_RUN: Final = ("COVERAGE_", "COV_", "PYTEST_")


def own_environment(**more: str) -> dict[str, str]:
    """Return the environment without what this test run put there, which would make the program slow, and ``more``."""
    return {name: value for name, value in os.environ.items() if not name.startswith(_OF_THE_RUN)} | more
