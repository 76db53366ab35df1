"""The contract's managers, on every store, with a clock that the test sets."""

from __future__ import annotations

from tests.contract.conftest import budget, clock, make

__all__ = ["budget", "clock", "make"]
