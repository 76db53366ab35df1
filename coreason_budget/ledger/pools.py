"""What the ledger's clients are made of: the pool of a django-redis cache alias, and its asyncio twin."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any

import redis
import redis.asyncio as aioredis
from django.conf import settings
from redis.asyncio.retry import Retry as AsyncRetry
from redis.asyncio.sentinel import Sentinel as AsyncSentinel
from redis.backoff import NoBackoff

from ..exceptions import BudgetConfigurationError

if TYPE_CHECKING:
    from collections.abc import Callable

    from redis.sentinel import SentinelConnectionPool

__all__ = ["accepted", "alias_pool", "async_sentinel_client", "async_twin", "close_pool", "sentinels_of"]


def alias_pool(alias: str) -> redis.ConnectionPool:
    """
    Return a new pool made by the django-redis connection factory of a cache alias.

    Raise BudgetConfigurationError if there is no such alias or it is no django-redis cache.
    """
    from django_redis.pool import get_connection_factory

    conf: Any = settings.CACHES.get(alias) if settings.configured else None
    if conf is None:
        raise BudgetConfigurationError(
            f"There is no cache {alias!r} in CACHES: set COREASON_BUDGET['CACHE_ALIAS'] to a django-redis cache, "
            "or COREASON_BUDGET['REDIS_URL']."
        )
    if not str(conf.get("BACKEND", "")).startswith("django_redis."):
        raise BudgetConfigurationError(
            f"The cache {alias!r} is {conf.get('BACKEND')!r}, but the ledger needs 'django_redis.cache.RedisCache': "
            "set COREASON_BUDGET['CACHE_ALIAS'] to a django-redis cache, or COREASON_BUDGET['REDIS_URL']."
        )
    location = conf.get("LOCATION", "")
    url = location.split(",")[0].strip() if isinstance(location, str) else location[0]
    factory: Any = get_connection_factory(dict(conf.get("OPTIONS") or {}))
    pool: redis.ConnectionPool = factory.get_connection_pool(factory.make_connection_params(url))
    return pool


def sentinels_of(pool: Any) -> list[Any]:
    """Return the clients of the Sentinels that a pool asks for its server, none for another pool."""
    manager = getattr(pool, "sentinel_manager", None)
    return [] if manager is None else list(manager.sentinels)


def close_pool(pool: redis.ConnectionPool) -> None:
    """Close the connections of a pool, and those to its Sentinels."""
    pool.disconnect()
    for sentinel in sentinels_of(pool):
        sentinel.connection_pool.disconnect()


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


def async_sentinel_client(pool: SentinelConnectionPool, kwargs: dict[str, Any], times: dict[str, Any]) -> Any:
    """Return a client of the server that the Sentinels of a sync pool name."""
    is_tls = issubclass(pool.connection_class, redis.SSLConnection)
    twin = aioredis.SSLConnection if is_tls else aioredis.Connection
    plain = accepted(twin, {key: value for key, value in kwargs.items() if key not in {"host", "port"}})
    sentinels = pool.sentinel_manager.sentinels
    manager = AsyncSentinel([], min_other_sentinels=pool.sentinel_manager.min_other_sentinels, **plain)  # type: ignore[no-untyped-call]
    manager.sentinels = [_async_sentinel(sentinel.connection_pool, times) for sentinel in sentinels]
    return manager.master_for(pool.service_name, ssl=is_tls, max_connections=pool.max_connections)


def _async_sentinel(pool: redis.ConnectionPool, times: dict[str, Any]) -> Any:
    connection_class = async_twin(pool.connection_class)
    kwargs = pool.connection_kwargs | times | {"retry": AsyncRetry(NoBackoff(), 0)}
    return aioredis.Redis(
        connection_pool=aioredis.ConnectionPool(connection_class=connection_class, **accepted(connection_class, kwargs))
    )
