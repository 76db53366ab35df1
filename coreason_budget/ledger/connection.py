"""
The ledger's own clients: one for threads, one for each event loop. Made from a django-redis cache alias or a URL.

The pools are ours alone. Time-outs, retries and decoding are set after the alias's own options, which would win
otherwise: a budget must be refused in time whatever the cache's time-outs are.
"""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import redis
import redis.asyncio as aioredis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from ..exceptions import BudgetConfigurationError
from . import isolation
from .forks import afresh_in_child
from .pools import accepted, alias_pool, async_sentinel_client, async_twin, close_pool, sentinels_of
from .wires import Wires, in_time, packed

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Sequence

    from ..conf import BudgetConfig

__all__ = ["Connections"]

#: As many connections as older drivers allow by default.
UNBOUNDED: Final = 2**31
CLUSTER_SCHEMES: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}


class Connections:
    """
    Sends the commands of threads and of event loops, and hands out clients. Opens nothing before it is asked.

    A command is answered or refused within ``timeout``, whatever has to be done for it.
    """

    def __init__(self, config: BudgetConfig) -> None:
        self.timeout = config.timeout
        self._config = config
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopClient] = WeakKeyDictionary()
        self._start_afresh()
        afresh_in_child(self._start_afresh)

    def _start_afresh(self) -> None:
        # A forked child leaves the connections and the locks of its parent alone.
        self._lock = threading.Lock()
        self._client: Any = None
        self._wires: Wires | None = None

    def execute(self, args: Sequence[Any]) -> Any:
        """Send a command from a thread and return the reply. Raise what the driver raises, or TimeoutError."""
        if (isolated := isolation.current()) is not None and isolated.server is not self:
            return isolated.server.execute(args)
        if self._cluster is not None:
            return in_time(lambda: self.client().execute_command(*args), self.timeout)
        return (self._wires or self._open_wires()).execute(args)

    async def aexecute(self, args: Sequence[Any]) -> Any:
        """Send a command from the running event loop. See execute()."""
        if (isolated := isolation.current()) is not None and isolated.server is not self:
            return await isolated.server.aexecute(args)
        async with asyncio.timeout(self.timeout):
            return await (await self._of_loop()).execute(args)

    def client(self) -> Any:
        """
        Return a client for threads whose every step is bounded by ``timeout``; for work that nobody waits for.

        Raise BudgetConfigurationError if the cache alias is no django-redis cache.
        """
        if (isolated := isolation.current()) is not None and isolated.server is not self:
            return isolated.server.client()
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._make_client()
        return self._client

    async def aclient(self) -> Any:
        """Return the client of the running event loop, which the caller bounds. See client()."""
        if (isolated := isolation.current()) is not None and isolated.server is not self:
            return await isolated.server.aclient()
        return (await self._of_loop()).client

    def close(self) -> None:
        """Close the connections of threads; a later call opens new ones."""
        with self._lock:
            client, self._client = self._client, None
            wires, self._wires = self._wires, None
        if wires is not None:
            wires.close()
        if client is not None:
            client.close()
            pool = getattr(client, "connection_pool", None)
            if pool is not None:
                close_pool(pool)
        with self._lock:
            self._drop_closed_loops()

    async def aclose(self) -> None:
        """Close the client of the running event loop, and the connections of threads."""
        with self._lock:
            entry = self._loops.pop(asyncio.get_running_loop(), None)
        if entry is not None:
            await entry.close()
        self.close()

    def _open_wires(self) -> Wires:
        with self._lock:
            if self._wires is None:
                self._wires = Wires(self._make_pool(), self.timeout)
            return self._wires

    async def _of_loop(self) -> LoopClient:
        loop = asyncio.get_running_loop()
        entry = self._loops.get(loop)
        if entry is None:
            with self._lock:
                self._drop_closed_loops()
                entry = self._loops[loop] = LoopClient(*self._make_async_client())
            await entry.close_with_loop()
        return entry

    def _drop_closed_loops(self) -> None:
        for loop in [loop for loop in self._loops if loop.is_closed()]:
            del self._loops[loop]

    @property
    def _cluster(self) -> str | None:
        url = self._config.redis_url
        return None if url is None else _cluster_url(url)

    def _make_client(self) -> Any:
        if self._cluster is not None:
            isolation.warn_of_shared_server(redis.Connection, redis.connection.parse_url(self._cluster))  # type: ignore[no-untyped-call]
            return redis.RedisCluster.from_url(self._cluster, **self._options(Retry(NoBackoff(), 0)))
        return redis.Redis(connection_pool=self._make_pool())

    def _make_pool(self) -> redis.ConnectionPool:
        options = self._options(Retry(NoBackoff(), 0))
        url = self._config.redis_url
        if url is None:
            pool = self._adapt(alias_pool(self._config.cache_alias), options)
        else:
            try:
                pool = redis.ConnectionPool.from_url(url, **options)
            except ValueError as error:
                raise BudgetConfigurationError(f"REDIS_URL cannot be used: {error}") from error
        isolation.warn_of_shared_server(pool.connection_class, pool.connection_kwargs)
        return pool

    def _options(self, retry: object) -> dict[str, Any]:
        return {
            "socket_timeout": self.timeout,
            "socket_connect_timeout": self.timeout,
            "retry": retry,
            "retry_on_error": [],
            "decode_responses": True,
            "encoding": "utf-8",
        }

    def _adapt(self, pool: redis.ConnectionPool, options: dict[str, Any]) -> redis.ConnectionPool:
        pool.connection_kwargs.update(options)
        pool.connection_kwargs.pop("retry_on_timeout", None)
        if hasattr(pool, "timeout"):  # a blocking pool would wait for its own time, 20 s by default
            pool.timeout = self.timeout
        if isinstance(pool, SentinelConnectionPool):
            for sentinel in pool.sentinel_manager.sentinels:
                sentinel.connection_pool.connection_kwargs.update(self._sentinel_options(pool), retry=options["retry"])
        return pool

    def _sentinel_options(self, pool: SentinelConnectionPool) -> dict[str, Any]:
        # There must be time to ask every Sentinel, and the server too.
        share = self.timeout / (len(pool.sentinel_manager.sentinels) + 1)
        return {"socket_timeout": share, "socket_connect_timeout": share}

    def _make_async_client(self) -> tuple[Any, int]:
        """Return a new client and how many commands it may send at once."""
        # aexecute() bounds each command. A time-out of the driver's own would send by asyncio.wait_for(), which loses
        # cancellations before Python 3.12: who is cancelled would be let through.
        options = self._options(AsyncRetry(NoBackoff(), 0)) | {"socket_timeout": None}
        if self._cluster is not None:
            del options["retry_on_error"]
            isolation.warn_of_shared_server(redis.Connection, redis.connection.parse_url(self._cluster))  # type: ignore[no-untyped-call]
            cluster = aioredis.RedisCluster.from_url(self._cluster, **options)
            return cluster, cluster.connection_kwargs.get("max_connections") or UNBOUNDED
        pool = self._make_pool()
        kwargs = pool.connection_kwargs | options
        if isinstance(pool, SentinelConnectionPool):
            return async_sentinel_client(pool, kwargs, self._sentinel_options(pool)), pool.max_connections
        connection_class = async_twin(pool.connection_class)
        kwargs = accepted(connection_class, kwargs)
        client = aioredis.Redis(
            connection_pool=aioredis.ConnectionPool(
                connection_class=connection_class, max_connections=pool.max_connections, **kwargs
            )
        )
        return client, pool.max_connections


class LoopClient:
    """The client of one event loop, closed before the loop is. Who finds no connection free waits for one."""

    def __init__(self, client: Any, connections: int) -> None:
        self.client = client
        self._pool: Any = getattr(client, "connection_pool", None)  # a cluster has none of its own
        self._free = asyncio.Semaphore(connections)
        self._closer: AsyncGenerator[None, None] | None = None

    async def execute(self, args: Sequence[Any]) -> Any:
        """Send a command and return the reply."""
        async with self._free:
            if self._pool is None:
                return await self.client.execute_command(*args)
            wire = await self._connection()
            try:
                await wire.send_packed_command(packed(args))
                return await wire.read_response()
            finally:
                await self._pool.release(wire)

    async def _connection(self) -> Any:
        try:
            return await self._pool.get_connection()
        except TypeError:  # redis-py before 5.3 wants the name of a command
            return await self._pool.get_connection("_")

    async def close_with_loop(self) -> None:
        """
        Have the running loop close the client when it ends.

        ``asyncio.run`` and asgiref's ``async_to_sync`` finalize the loop's asynchronous generators before they close
        it. One that is suspended here is the only hook there is on the end of a loop.
        """
        self._closer = self._until_loop_ends()
        await anext(self._closer)

    async def close(self) -> None:
        """Close the client's connections."""
        await self.client.aclose()
        if self._pool is not None:
            await self._pool.disconnect()
            for sentinel in sentinels_of(self._pool):
                await sentinel.aclose()
                await sentinel.connection_pool.disconnect()

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.close()


def _cluster_url(url: str) -> str | None:
    scheme, separator, rest = url.partition("://")
    return f"{CLUSTER_SCHEMES[scheme]}{separator}{rest}" if scheme in CLUSTER_SCHEMES else None
