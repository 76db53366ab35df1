"""``Server``: the Redis server as an administrator asks it, on any topology."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from ..exceptions import BudgetUnavailableError
from ..ledger.steps import unavailable

if TYPE_CHECKING:
    from ..ledger.redis import RedisLedger

__all__ = ["Server"]


class Server:
    """The server that holds the budget's keys; of a cluster, the node. ``ask`` may raise BudgetUnavailableError."""

    def __init__(self, ledger: RedisLedger) -> None:
        self._connections = ledger.connections
        self._key = ledger.keys.journal

    def ask(self, *command: str | int) -> Any:
        """Send a command and return what the driver makes of the reply."""
        try:
            client = self._connections.client()
            if hasattr(client, "get_node_from_key"):
                return client.execute_command(*command, target_nodes=client.get_node_from_key(self._key))
            return client.execute_command(*command)
        except Exception as error:  # a driver raises what it likes
            raise unavailable(error) from error

    @cached_property
    def info(self) -> Mapping[str, Any]:
        """What INFO says; empty if the server does not know it or does not let us ask."""
        return self._mapping("INFO")

    @cached_property
    def commandstats(self) -> Mapping[str, Any]:
        """What INFO says of the commands it has run; empty as above."""
        return self._mapping("INFO", "commandstats")

    def config(self, name: str) -> str | None:
        """Return an option of its configuration, None where we may not ask, as on most managed services."""
        value = self._mapping("CONFIG GET", name).get(name)
        return None if value is None else str(value)

    def script_run_id(self) -> str:
        """Return the run id as the ledger's scripts see it, 'none' if they see none."""
        prelude = (files("coreason_budget.ledger") / "lua" / "prelude.lua").read_text("utf-8")
        return str(self.ask("EVAL", f"{prelude}return run_id()", 1, self._key))

    def _mapping(self, *command: str) -> Mapping[str, Any]:
        try:
            reply = self.ask(*command)
        except BudgetUnavailableError:
            return {}
        return reply if isinstance(reply, Mapping) else {}
