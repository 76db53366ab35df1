"""Settings of the test suite: SQLite in a file, so that the ledger's own threads see what a test commits."""

import os
from pathlib import Path
from tempfile import gettempdir

from fakeredis import FakeRedisConnection

SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "coreason_budget"]
_RUN = f"{os.getpid()}-{os.environ.get('PYTEST_XDIST_WORKER', 'main')}"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(gettempdir()) / f"coreason-budget-{_RUN}.sqlite3",
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"},
        "TEST": {"NAME": Path(gettempdir()) / f"coreason-budget-test-{_RUN}.sqlite3"},
    }
}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": "redis://fake.invalid:6379/0",
        "OPTIONS": {"CONNECTION_POOL_KWARGS": {"connection_class": FakeRedisConnection}},
    }
}
COREASON_BUDGET = {"LOG_PATH": ""}
