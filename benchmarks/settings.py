"""Settings of the benchmarks: a server and a database that go with the run."""

from __future__ import annotations

import os
from pathlib import Path

SECRET_KEY = "only for benchmarks"  # noqa: S105 - there is nothing to protect
USE_TZ = True
ROOT_URLCONF = "benchmarks.site"
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "coreason_budget"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["COREASON_BENCHMARK_FOLDER"]) / "benchmark.sqlite3",
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
