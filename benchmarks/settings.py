"""Settings of the benchmarks: a server and a database that go with the run."""

from __future__ import annotations

import os
from pathlib import Path

SECRET_KEY = "only for benchmarks"  # noqa: S105 - there is nothing to protect
USE_TZ = True
ROOT_URLCONF = "benchmarks.site"
ALLOWED_HOSTS = ["testserver"]
INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "coreason_budget",
]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
STATIC_URL = "static/"
DATABASES: dict[str, dict[str, object]] = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": Path(os.environ["COREASON_BENCHMARK_FOLDER"]) / "benchmark.sqlite3",
        "OPTIONS": {"init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;", "timeout": 20},
    }
}
if port := os.environ.get("COREASON_BENCHMARK_POSTGRES_PORT"):
    DATABASES["default"] = {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "benchmark",
        "USER": os.environ["COREASON_BENCHMARK_POSTGRES_USER"],
        "HOST": "127.0.0.1",
        "PORT": port,
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
