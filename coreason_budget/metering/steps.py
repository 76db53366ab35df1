"""What calls need done beside the ledger's own steps; the same two drivers perform them."""

from __future__ import annotations

from dataclasses import dataclass
from inspect import isawaitable
from typing import TYPE_CHECKING, Any

from ..ledger.steps import run, settle

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..ledger.steps import Context, Operation

__all__ = ["Invoke", "Settle"]


@dataclass(frozen=True, slots=True)
class Settle:
    """An operation of the ledger that must not stop half-way."""

    operation: Operation[Any]

    def perform(self, context: Context) -> Any:
        """Drive the operation."""
        return run(self.operation, context)

    async def aperform(self, context: Context) -> Any:
        """Drive the operation to its end even if the caller is cancelled. See perform()."""
        return await settle(self.operation, context)


@dataclass(frozen=True, slots=True)
class Invoke:
    """What the money is held for (a view, a request to a provider), called where it stands. It may be awaitable."""

    call: Callable[[], Any]

    def perform(self, context: object) -> Any:
        """Return what the call returned, which may be an awaitable."""
        return self.call()

    async def aperform(self, context: object) -> Any:
        """Return what the call returned, awaited. See perform()."""
        answer = self.call()
        return await answer if isawaitable(answer) else answer
