"""A project whose Redis is down and whose database is in memory, unless the environment names others."""

from __future__ import annotations

import os

SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "coreason_budget"]
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.environ.get("USER_PROJECT_DATABASE", ":memory:"),
        "TEST": {"NAME": os.environ.get("USER_PROJECT_DATABASE")},
    }
}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": os.environ.get("USER_PROJECT_REDIS", "redis://127.0.0.1:1/0"),
    }
}
COREASON_BUDGET = {"LOG_PATH": "", "DATABASE_WORK": "thread"}
