"""Settings of the benchmarks: SQLite in a file and the embedded server, both in a folder that goes with the run."""

from __future__ import annotations

import os
from pathlib import Path

FOLDER = Path(os.environ["COREASON_BENCHMARK_FOLDER"])

SECRET_KEY = "only for benchmarks"  # noqa: S105 - there is nothing to protect
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "coreason_budget"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / "benchmark.sqlite3",
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", "timeout": 20},
    }
}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": os.environ["COREASON_BENCHMARK_REDIS_URL"],
    }
}
COREASON_BUDGET = {
    "LOG_PATH": "",
    "DAILY_USER_LIMIT_USD": 1_000_000,
    "DAILY_PROJECT_LIMIT_USD": 1_000_000,
    "DAILY_GLOBAL_LIMIT_USD": 1_000_000,
}
