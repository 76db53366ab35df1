"""Settings of the test suite on PostgreSQL. Where the server is says ``tests.postgres.plugin``, which starts it."""

from ..settings import *  # noqa: F403
from .server import ROLE

INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.auth", "coreason_budget"]  # fewer tables to empty
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": "coreason_budget",
        "USER": ROLE,
        "HOST": "127.0.0.1",
        "PORT": "",
        "OPTIONS": {"connect_timeout": 5},
    }
}
