"""
The servers of a world, whose clock and memory the world commands.

They are real ones. Each has a run id of its own, so moving a world from one to the next, with the data of an older
dump, is what a restart or a failover is to the ledger, and costs no start of a process.
"""

from __future__ import annotations

from contextlib import ExitStack
from hashlib import sha1
from importlib.resources import files
from typing import TYPE_CHECKING, Any, Final, Self
from uuid import uuid4

import redis

from coreason_budget.ledger.scripts import Keys, script
from tests.servers import RealServer

from . import inspection

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["PREFIX", "Dump", "FakeStore", "Store", "Stores"]

PREFIX: Final = "sim"
KEYS: Final = Keys(PREFIX)
SCRIPTS: Final = sorted(
    path.name.removesuffix(".lua")
    for path in (files("coreason_budget.ledger") / "lua").iterdir()
    if path.name.endswith(".lua") and path.name != "prelude.lua"
)

#: Key, time to live in ms and serialized value, of all keys.
Dump = list[tuple[str, int, bytes]]

#: Times to live are set in multiples of this (ms), and time passes for them in multiples of it.
TICK: Final = 5_000

#: Lets time pass for the times to live. The end of an account's life is an instant of the world, that of the others is
#: counted from when it was set, in real time: what has passed of that is rounded away.
AGE: Final = """
local gone = {}
for _, key in ipairs(redis.call('KEYS', '*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 then
    if string.find(key, ARGV[3], 1, true) == 1 then
      left = redis.call('PEXPIRETIME', key) - ARGV[1]
    else
      left = math.ceil(left / ARGV[4]) * ARGV[4] - ARGV[2]
      if left > 0 then redis.call('PEXPIRE', key, string.format('%.0f', left)) end
    end
    if left <= 0 then
      redis.call('DEL', key)
      gone[#gone + 1] = key
    end
  end
end
return gone
"""
AGE_SHA: Final = sha1(AGE.encode(), usedforsecurity=False).hexdigest()


class Store:
    """A server that knows the ledger's scripts. It is emptied for each case."""

    def __init__(self, port: int) -> None:
        self._text = redis.Connection(host="127.0.0.1", port=port, decode_responses=True, protocol=2)
        self._raw = redis.Connection(host="127.0.0.1", port=port, protocol=2)
        self.run_id = str(self.send(("INFO", "server"))[0]).partition("run_id:")[2][:40]
        self._knows_scripts = False

    def send(self, *commands: Sequence[Any], raw: bool = False) -> list[Any]:
        """Execute commands in one round trip; an error is returned in place of its reply."""
        connection = self._raw if raw else self._text
        connection.send_packed_command(connection.pack_commands(commands))
        replies = []
        for _ in commands:
            try:
                replies.append(connection.read_response())
            except redis.ResponseError as error:
                replies.append(error)
        return replies

    def begin(self) -> None:
        """Forget the data of the case before, and know the scripts."""
        self.send(("FLUSHALL",))
        if not self._knows_scripts:
            self._load(*(script(name).source for name in SCRIPTS), inspection.SCRIPT, AGE)
            self._knows_scripts = True

    def _load(self, *sources: str) -> None:
        self.send(*(("SCRIPT", "LOAD", source) for source in sources))

    def forget_scripts(self) -> None:
        """Forget the ledger's scripts."""
        self._knows_scripts = False
        self.send(("SCRIPT", "FLUSH"))
        self._load(inspection.SCRIPT, AGE)

    def age(self, server_now: int, passed: int) -> list[str]:
        """Let time pass (ms, whole ticks). Return the keys whose time has come."""
        (gone,) = self.send(("EVALSHA", AGE_SHA, 0, server_now, passed, KEYS.accounts_prefix, TICK))
        return sorted(gone)

    def dump(self) -> Dump:
        """Return all data."""
        keys = sorted(self.send(("KEYS", "*"))[0])
        lives = self.send(*(("PTTL", key) for key in keys)) if keys else []
        values = self.send(*(("DUMP", key) for key in keys), raw=True) if keys else []
        return list(zip(keys, lives, values, strict=True))

    def restore(self, dump: Dump) -> None:
        """Take over the data of another server."""
        self.send(("FLUSHALL",))
        if dump:
            self.send(*(("RESTORE", key, max(0, life), value) for key, life, value in dump), raw=True)

    def close(self) -> None:
        self._text.disconnect()
        self._raw.disconnect()


class FakeStore(Store):
    """A fake server. It has one run id for ever, and no dumps."""

    def __init__(self) -> None:
        import fakeredis

        self._client = fakeredis.FakeRedis(decode_responses=True, server=fakeredis.FakeServer(), host=uuid4().hex)
        self.run_id = "none"
        self._load(inspection.SCRIPT, AGE)

    def send(self, *commands: Sequence[Any], raw: bool = False) -> list[Any]:
        assert not raw
        return [self._send(command) for command in commands]

    def _send(self, command: Sequence[Any]) -> Any:
        try:
            return self._client.execute_command(*command)
        except redis.ResponseError as error:
            return error

    def begin(self) -> None:
        self._client.flushall()

    def forget_scripts(self) -> None:
        self._client.script_flush()
        self._load(inspection.SCRIPT, AGE)

    def dump(self) -> Dump:
        raise NotImplementedError

    def close(self) -> None:
        self._client.close()


class Stores:
    """The real servers that all cases of a process share: as many as a case may restart, and one."""

    def __init__(self, number: int = 3) -> None:
        self._number = number
        self._stack = ExitStack()
        self.stores: list[Store] = []

    def __enter__(self) -> Self:
        for _ in range(self._number):
            server = self._stack.enter_context(RealServer())
            self.stores.append(Store(server.port))
            self._stack.callback(self.stores[-1].close)
        return self

    def __exit__(self, *error: object) -> None:
        self._stack.close()
