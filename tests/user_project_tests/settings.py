"""A project whose Redis is down and whose database is in memory, unless the environment names others."""

from __future__ import annotations

import json
import os

SECRET_KEY = "only for tests"
USE_TZ = True
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "coreason_budget"]
IN_MEMORY = json.dumps({"ENGINE": "django.db.backends.sqlite3", "NAME": ":memory:"})
DATABASES = {"default": json.loads(os.environ.get("USER_PROJECT_DATABASE", IN_MEMORY))}
CACHES = {
    "default": {
        "BACKEND": "django_redis.cache.RedisCache",
        "LOCATION": os.environ.get("USER_PROJECT_REDIS", "redis://127.0.0.1:1/0"),
    }
}
COREASON_BUDGET = {"LOG_PATH": "", "DATABASE_WORK": "thread"}
