"""
Settings of the example site. It needs nothing but Python: SQLite and an embedded Valkey server keep the data.

Everything it writes is in ``var/`` beside ``manage.py``; ``EXAMPLE_DATA_DIR`` names another folder. ``REDIS_URL``
names a Redis or Valkey server of your own, to be used instead of the embedded one. With the key of a provider in the
environment the chat asks a real model; ``EXAMPLE_MODEL`` names any that litellm knows.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from .embedded import NO_SERVER, attach, is_needed

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(os.environ.get("EXAMPLE_DATA_DIR") or BASE_DIR / "var").resolve()
DATA_DIR.mkdir(parents=True, exist_ok=True)

SECRET_KEY = "django-insecure-example-site-never-use-this-key-anywhere-else"  # noqa: S105 - it protects nothing
DEBUG = "runserver" in sys.argv  # it serves static files only then
ALLOWED_HOSTS = ["localhost", "127.0.0.1", "[::1]"]

INSTALLED_APPS = [
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.messages",
    "django.contrib.sessions",
    "django.contrib.staticfiles",
    "coreason_budget",
    "chat",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "chat_site.policy.content_security_policy",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
    "coreason_budget.middleware.BudgetMiddleware",
]
ROOT_URLCONF = "chat_site.urls"
WSGI_APPLICATION = "chat_site.wsgi.application"
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

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": DATA_DIR / "db.sqlite3",
        "OPTIONS": {
            "timeout": 20,
            # Take the write lock at BEGIN: a transaction that only asks for it later fails at once instead of waiting.
            "transaction_mode": "IMMEDIATE",
            "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL;",
        },
    }
}

# The budgets live in Redis. Commands that do no work (makemigrations, check, help) do without a server.
REDIS_URL = os.environ.get("REDIS_URL") or (attach(DATA_DIR / "valkey") if is_needed(sys.argv) else NO_SERVER)
CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": REDIS_URL}}

COREASON_BUDGET = {
    "KEY_PREFIX": "coreason-budget-example",
    "DAILY_USER_LIMIT_USD": "1.00",
    "DAILY_PROJECT_LIMIT_USD": "5.00",
    "DAILY_GLOBAL_LIMIT_USD": "20.00",
    "LOG_PATH": DATA_DIR / "budget.log",
}

# Who answers in the chat. None: a make-believe model, which says its words one after the other, so many seconds apart.
MODELS = {
    "OPENAI_API_KEY": "gpt-4o-mini",
    "ANTHROPIC_API_KEY": "claude-haiku-4-5",
    "GEMINI_API_KEY": "gemini/gemini-2.5-flash",
}
CHAT_MODEL = os.environ.get("EXAMPLE_MODEL") or next((MODELS[key] for key in MODELS if os.environ.get(key)), None)
CHAT_PIECE_DELAY = float(os.environ.get("EXAMPLE_PIECE_DELAY") or 0.02)

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "loggers": {"django.request": {"handlers": ["console"], "level": "ERROR"}, "chat": {"handlers": ["console"]}},
}

TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "static/"
LOGIN_URL = "login"
LOGIN_REDIRECT_URL = "home"
LOGOUT_REDIRECT_URL = "login"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
