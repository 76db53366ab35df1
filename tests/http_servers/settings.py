"""Settings of the small site that real web servers serve; its folder and its Redis are named by the environment."""

import os
from pathlib import Path

FOLDER = Path(os.environ["SITE_FOLDER"])

SECRET_KEY = "only for tests"
USE_TZ = True
ALLOWED_HOSTS = ["127.0.0.1"]
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "coreason_budget"]
MIDDLEWARE = ["coreason_budget.middleware.BudgetMiddleware"]
ROOT_URLCONF = "tests.http_servers.views"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": FOLDER / "site.sqlite3",
        "OPTIONS": {"timeout": 30, "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;"},
    }
}
COREASON_BUDGET = {
    "DAILY_USER_LIMIT_USD": "1.00",
    "LOG_PATH": "",
    "REDIS_URL": os.environ["SITE_REDIS_URL"],
    "TIMEOUT": 2.0,
    "USER_ID": "tests.http_servers.views.user_of",
}
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "INFO"},
}
