"""Begin from zero: forget the spend and limits of earlier runs, in the database and in Redis."""

from __future__ import annotations

from django.conf import settings
from django_redis import get_redis_connection

from coreason_budget.models import GlobalLimit, ProjectLimit, SpendRecord, UserLimit

__all__ = ["forget_everything"]


def forget_everything() -> None:
    """
    Delete all spend records and limits, and then the ledger's keys: only those, also on a Redis that others use.

    Raise redis.RedisError, before anything is deleted, if Redis cannot be reached.
    """
    redis = get_redis_connection("default")
    redis.ping()
    for rows in (SpendRecord.objects, UserLimit.objects, ProjectLimit.objects, GlobalLimit.objects):
        rows.all().delete()
    keys = list(redis.scan_iter(match=f"{{{settings.COREASON_BUDGET['KEY_PREFIX']}}}:*", count=1000))
    if keys:
        redis.delete(*keys)
