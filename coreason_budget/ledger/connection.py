"""
The ledger's own clients: one for threads, one for each event loop. Made from a django-redis cache alias or a URL.

The pools are ours alone. Time-outs, retries and decoding are set after the alias's own options, which would win
otherwise: a budget must be refused in time whatever the cache's time-outs are.
"""

from __future__ import annotations

import asyncio
import inspect
import threading
from collections.abc import AsyncGenerator, Callable
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakKeyDictionary

import redis
import redis.asyncio as aioredis
from django.conf import settings
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff
from redis.retry import Retry
from redis.sentinel import SentinelConnectionPool

from ..exceptions import BudgetConfigurationError

if TYPE_CHECKING:
    from ..conf import BudgetConfig

__all__ = ["Connections"]

CLUSTER_SCHEMES: Final = {"redis+cluster": "redis", "rediss+cluster": "rediss"}


class Connections:
    """Hands out a client for the calling thread or the running event loop. Opens nothing before it is asked."""

    def __init__(self, config: BudgetConfig) -> None:
        self.timeout = config.timeout
        self._config = config
        self._lock = threading.Lock()
        self._client: Any = None
        self._loops: WeakKeyDictionary[asyncio.AbstractEventLoop, LoopClient] = WeakKeyDictionary()

    def client(self) -> Any:
        """Return the client for threads. Raise BudgetConfigurationError if the cache alias is no django-redis cache."""
        if self._client is None:
            with self._lock:
                if self._client is None:
                    self._client = self._make_client()
        return self._client

    async def aclient(self) -> Any:
        """Return the client of the running event loop. See client()."""
        loop = asyncio.get_running_loop()
        entry = self._loops.get(loop)
        if entry is None:
            self._drop_closed_loops()
            entry = self._loops[loop] = LoopClient(self._make_async_client())
            await entry.close_with_loop()
        return entry.client

    def close(self) -> None:
        """Close the client for threads; a later call opens a new one."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()
            pool = getattr(client, "connection_pool", None)
            if pool is not None:
                pool.disconnect()
        self._drop_closed_loops()

    async def aclose(self) -> None:
        """Close the client of the running event loop, and the one for threads."""
        entry = self._loops.pop(asyncio.get_running_loop(), None)
        if entry is not None:
            await entry.close()
        self.close()

    def _drop_closed_loops(self) -> None:
        for loop in [loop for loop in self._loops if loop.is_closed()]:
            del self._loops[loop]

    def _make_client(self) -> Any:
        url = self._config.redis_url
        if url is not None and _cluster_url(url):
            return redis.RedisCluster.from_url(_cluster_url(url), **self._options(Retry(NoBackoff(), 0)))
        return redis.Redis(connection_pool=self._make_pool())

    def _make_pool(self) -> redis.ConnectionPool:
        options = self._options(Retry(NoBackoff(), 0))
        url = self._config.redis_url
        if url is not None:
            try:
                return redis.ConnectionPool.from_url(url, **options)
            except ValueError as error:
                raise BudgetConfigurationError(f"REDIS_URL cannot be used: {error}") from error
        return self._adapt(alias_pool(self._config.cache_alias), options)

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
                sentinel.connection_pool.connection_kwargs.update(
                    socket_timeout=self.timeout, socket_connect_timeout=self.timeout, retry=Retry(NoBackoff(), 0)
                )
        return pool

    def _make_async_client(self) -> Any:
        retry = AsyncRetry(NoBackoff(), 0)
        url = self._config.redis_url
        if url is not None and _cluster_url(url):
            options = self._options(retry)
            del options["retry_on_error"]
            return aioredis.RedisCluster.from_url(_cluster_url(url), **options)
        pool = self._make_pool()
        kwargs = pool.connection_kwargs | self._options(retry)
        if isinstance(pool, SentinelConnectionPool):
            return _async_sentinel_client(pool, kwargs)
        connection_class = async_twin(pool.connection_class)
        kwargs = accepted(connection_class, kwargs)
        return aioredis.Redis(
            connection_pool=aioredis.ConnectionPool(
                connection_class=connection_class, max_connections=pool.max_connections, **kwargs
            )
        )


class LoopClient:
    """The client of one event loop, closed before the loop is."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self._closer: AsyncGenerator[None, None] | None = None

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
        pool = getattr(self.client, "connection_pool", None)
        if pool is not None:
            await pool.disconnect()

    async def _until_loop_ends(self) -> AsyncGenerator[None, None]:
        try:
            yield
        finally:
            await self.close()


def alias_pool(alias: str) -> redis.ConnectionPool:
    """
    Return a new pool made by the django-redis connection factory of a cache alias.

    Raise BudgetConfigurationError if there is no such alias or it is no django-redis cache.
    """
    from django_redis.pool import get_connection_factory

    conf = settings.CACHES.get(alias) if settings.configured else None
    if conf is None:
        raise BudgetConfigurationError(
            f"There is no cache {alias!r} in CACHES: set COREASON_BUDGET['CACHE_ALIAS'] to a django-redis cache, "
            "or COREASON_BUDGET['REDIS_URL']."
        )
    if not str(conf.get("BACKEND", "")).startswith("django_redis."):
        raise BudgetConfigurationError(
            f"The cache {alias!r} is {conf.get('BACKEND')!r}, but the ledger needs 'django_redis.cache.RedisCache': set "
            "COREASON_BUDGET['CACHE_ALIAS'] to a django-redis cache, or COREASON_BUDGET['REDIS_URL']."
        )
    location = conf.get("LOCATION", "")
    url = location.split(",")[0].strip() if isinstance(location, str) else location[0]
    factory: Any = get_connection_factory(dict(conf.get("OPTIONS") or {}))
    pool: redis.ConnectionPool = factory.get_connection_pool(factory.make_connection_params(url))
    return pool


def async_twin(connection_class: type) -> type:
    """
    Return the asyncio class that speaks as a connection class does.

    Raise BudgetConfigurationError for a class that has none.
    """
    for cls in connection_class.__mro__:
        if cls.__module__.split(".")[0] == "fakeredis":
            from fakeredis import FakeAsyncRedisConnection

            return FakeAsyncRedisConnection
        if cls.__module__ == "redis.connection" and hasattr(aioredis.connection, cls.__name__):
            twin: type = getattr(aioredis.connection, cls.__name__)
            return twin
    raise BudgetConfigurationError(f"The connection class {connection_class.__qualname__} has no asyncio twin.")


def accepted(connection_class: type, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return those options of a sync connection that the asyncio class knows too."""
    known: set[str] = set()
    for cls in connection_class.__mro__:
        init: Callable[..., None] | None = vars(cls).get("__init__")
        if init is not None and cls is not object:
            known.update(inspect.signature(init).parameters)
    foreign = {"parser_class", "himport_registry", "event_dispatcher", "command_packer", "driver_info"}
    return {
        name: value
        for name, value in kwargs.items()
        if name in known and name not in foreign and not name.startswith(("maint_notifications", "orig_"))
    }


def _async_sentinel_client(pool: SentinelConnectionPool, kwargs: dict[str, Any]) -> Any:
    def address(sentinel: Any) -> tuple[str, int]:
        options = sentinel.connection_pool.connection_kwargs
        return options["host"], options["port"]

    plain = accepted(aioredis.Connection, {key: value for key, value in kwargs.items() if key not in {"host", "port"}})
    times = {key: plain[key] for key in ("socket_timeout", "socket_connect_timeout")}
    sentinels = [address(sentinel) for sentinel in pool.sentinel_manager.sentinels]
    return AsyncSentinel(sentinels, sentinel_kwargs=times, **plain).master_for(pool.service_name)


def _cluster_url(url: str) -> str | None:
    scheme, separator, rest = url.partition("://")
    return f"{CLUSTER_SCHEMES[scheme]}{separator}{rest}" if scheme in CLUSTER_SCHEMES else None
