"""Every mistake in the settings is told by ``manage.py check``, by its id, with a remedy, without any connection."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest
from django.apps import apps
from django.core import checks
from django.core.checks import run_checks
from django.core.management import call_command
from django.core.management.base import SystemCheckError
from django.db import connection

from coreason_budget.checks import SCHEMES, TAG, check_database, check_settings

if TYPE_CHECKING:
    from pytest_django import Settings


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Begin without a setting and without a variable."""
    for name in list(os.environ):
        if name.startswith("COREASON_BUDGET_"):
            monkeypatch.delenv(name)
    settings.COREASON_BUDGET = {}


def found() -> list[tuple[str, str]]:
    """Return id and text of what is told; each has a remedy."""
    messages = check_settings()
    assert all(message.hint for message in messages)
    return [(str(message.id).removeprefix("coreason_budget."), str(message.msg)) for message in messages]


def ids() -> list[str]:
    return [number for number, _ in found()]


def hints() -> list[str]:
    return [str(message.hint) for message in check_settings()]


# What is told


def test_settings_without_a_mistake_are_not_mentioned(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"DAILY_USER_LIMIT_USD": "1", "ON_UNAVAILABLE": "deny", "LOG_PATH": ""}

    assert found() == []


@pytest.mark.parametrize("raw", [[("DAILY_USER_LIMIT_USD", 1)], None, "10"])
def test_settings_that_are_no_dict_are_an_error(settings: Settings, raw: object) -> None:
    settings.COREASON_BUDGET = raw

    assert found() == [("E001", f"COREASON_BUDGET must be a dict, not {type(raw).__name__}.")]


def test_every_unknown_key_is_an_error_that_names_the_one_that_was_meant(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"DAILY_USR_LIMIT_USD": 1, "daily_user_limit_usd": 1, "XYZZY": 1, 7: 1}

    assert ids() == ["E002"] * 4
    assert hints()[:2] == ["Did you mean 'DAILY_USER_LIMIT_USD'?"] * 2
    assert hints()[2].startswith("Known names: REDIS_URL, CACHE_ALIAS, ")


def test_all_bad_values_are_told_at_once(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"DAILY_USER_LIMIT_USD": -1, "TIME_ZONE": "Mars/Base", "HOLD_TTL": "soon"}

    assert found() == [
        (
            "E003",
            "COREASON_BUDGET['TIME_ZONE']: 'Mars/Base' is no time zone; use an IANA name such as 'Europe/Berlin'.",
        ),
        ("E003", "COREASON_BUDGET['DAILY_USER_LIMIT_USD']: the amount must not be negative, got -1."),
        ("E003", "COREASON_BUDGET['HOLD_TTL']: must be a number, not 'soon'."),
    ]
    assert hints()[1] == "Correct the value, or leave it out for the default: '10'."


def test_all_bad_environment_variables_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREASON_BUDGET_TIMEOUT", "0")
    monkeypatch.setenv("COREASON_BUDGET_THRESHOLDS", "120")

    assert found() == [
        (
            "E004",
            "environment variable COREASON_BUDGET_THRESHOLDS: must be a whole number from 1 to 100, not '120'.",
        ),
        ("E004", "environment variable COREASON_BUDGET_TIMEOUT: must be from 0.01 to 60 seconds, not '0'."),
    ]


def test_a_bad_variable_that_a_setting_replaces_does_no_harm(
    monkeypatch: pytest.MonkeyPatch, settings: Settings
) -> None:
    monkeypatch.setenv("COREASON_BUDGET_TIMEOUT", "0")
    settings.COREASON_BUDGET = {"TIMEOUT": 2}

    assert found() == []


def test_a_variable_that_is_no_setting_is_warned_of(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREASON_BUDGET_DAILY_USER_LIMT_USD", "1")

    assert ids() == ["W004"]
    assert hints() == ["Did you mean 'COREASON_BUDGET_DAILY_USER_LIMIT_USD'?"]


def test_a_cache_alias_that_does_not_exist_is_an_error(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"CACHE_ALIAS": "budgets"}

    assert found() == [("E005", "There is no cache 'budgets' in CACHES.")]


def test_a_cache_that_is_not_of_django_redis_is_an_error(settings: Settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}

    backend = "django.core.cache.backends.locmem.LocMemCache"
    assert found() == [
        ("E006", f"The cache 'default' is {backend!r}, but the ledger needs 'django_redis.cache.RedisCache'.")
    ]


def test_the_cache_does_not_matter_where_a_url_is_given(settings: Settings) -> None:
    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.COREASON_BUDGET = {"REDIS_URL": "redis://cache.example:6379/0", "CACHE_ALIAS": "none"}

    assert found() == []


def test_a_bad_alias_or_url_is_told_by_itself_only(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"CACHE_ALIAS": ""}
    assert ids() == ["E003"]

    settings.CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
    settings.COREASON_BUDGET = {"REDIS_URL": 6379}
    assert ids() == ["E003"]


@pytest.mark.parametrize("scheme", SCHEMES)
def test_every_scheme_that_the_ledger_speaks_is_fine(settings: Settings, scheme: str) -> None:
    settings.COREASON_BUDGET = {"REDIS_URL": f"{scheme}://:secret@cache.example:6379/0"}

    assert found() == []


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("http://:s3cret@cache.example:6379", "REDIS_URL has no known scheme: 'http'."),
        ("cache.example:6379", "REDIS_URL has no known scheme."),
        ("redis://:s3cret/rest@cache.example:6379", "REDIS_URL cannot be read: its host or port is none."),
        ("redis://cache.example:0", "REDIS_URL cannot be read: its host or port is none."),
        (
            "redis+cluster://:s3cret@cache.example:6379/3",
            "REDIS_URL names a database number, but a cluster has only number 0.",
        ),
        ("redis://[::1", "REDIS_URL cannot be read: its host or port is none."),
    ],
)
def test_a_url_that_cannot_be_used_is_an_error_that_does_not_repeat_it(settings: Settings, url: str, told: str) -> None:
    settings.COREASON_BUDGET = {"REDIS_URL": url}

    assert found() == [("E007", told)]
    assert "s3cret" not in hints()[0]


def test_naive_datetimes_are_an_error(settings: Settings) -> None:
    settings.USE_TZ = False

    assert found() == [("E008", "coreason_budget keeps aware datetimes, but USE_TZ is False.")]


@pytest.mark.parametrize("key", ["USER_ID", "PROJECT_ID"])
@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("nowhere.project_of", "cannot be imported: ModuleNotFoundError: No module named 'nowhere'"),
        ("project_of", "cannot be imported: ImportError: project_of doesn't look like a module path"),
        ("django.utils.timezone.UTC_", "cannot be imported: ImportError: "),
        ("django.VERSION", "is not callable"),
    ],
)
def test_a_dotted_path_that_leads_to_no_function_is_an_error(
    settings: Settings, key: str, path: str, problem: str
) -> None:
    settings.COREASON_BUDGET = {key: path}

    ((number, told),) = found()

    assert number == "E009"
    assert told.startswith(f"{key} is {path!r}, which {problem}")


def test_a_dotted_path_to_a_function_is_fine(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"USER_ID": "django.utils.timezone.now"}

    assert found() == []


def test_each_bad_price_is_an_error(settings: Settings) -> None:
    settings.COREASON_BUDGET = {
        "MODEL_PRICE_OVERRIDES": {
            "good": {"input_usd_per_million": "1", "output_usd_per_million": 2},
            "half": {"input_usd_per_million": "1"},
            "text": "cheap",
        }
    }

    assert [number for number, _ in found()] == ["E010", "E010"]
    assert "['half']" in found()[0][1]
    assert "['text']" in found()[1][1]


# What is warned of


@pytest.mark.parametrize(
    ("limits", "told"),
    [
        (
            {"DAILY_USER_LIMIT_USD": 600},
            ["DAILY_USER_LIMIT_USD (600) is above DAILY_PROJECT_LIMIT_USD (500) and may never stop anyone."],
        ),
        (
            {"DAILY_PROJECT_LIMIT_USD": None, "DAILY_USER_LIMIT_USD": "5000.5"},
            ["DAILY_USER_LIMIT_USD (5000.5) is above DAILY_GLOBAL_LIMIT_USD (5000) and may never stop anyone."],
        ),
        (
            {"MONTHLY_PROJECT_LIMIT_USD": 2, "MONTHLY_GLOBAL_LIMIT_USD": 1},
            ["MONTHLY_PROJECT_LIMIT_USD (2) is above MONTHLY_GLOBAL_LIMIT_USD (1) and may never stop anyone."],
        ),
        ({"DAILY_USER_LIMIT_USD": 500, "DAILY_GLOBAL_LIMIT_USD": 500}, []),
        ({"DAILY_USER_LIMIT_USD": None}, []),
        ({"DAILY_GLOBAL_LIMIT_USD": 0}, []),
    ],
)
def test_a_default_that_a_wider_one_makes_void_is_warned_of(
    settings: Settings, limits: dict[str, object], told: list[str]
) -> None:
    settings.COREASON_BUDGET = limits

    assert found() == [("W001", text) for text in told]


@pytest.mark.parametrize(
    ("limit", "told"),
    [("0.04", ["W002"]), ("0.05", []), ("0", []), (None, [])],
)
def test_a_default_hold_that_never_fits_a_limit_is_warned_of(
    settings: Settings, limit: object, told: list[str]
) -> None:
    settings.COREASON_BUDGET = {"DAILY_USER_LIMIT_USD": limit, "DEFAULT_HOLD_USD": "0.05"}

    assert ids() == told


def test_failing_open_is_warned_of_outside_of_development(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"ON_UNAVAILABLE": "allow"}
    assert ids() == ["W003"]

    settings.DEBUG = True
    assert ids() == []


@pytest.mark.parametrize(
    ("options", "told"),
    [({}, ["W005"]), ({"transaction_mode": "deferred"}, ["W005"]), ({"transaction_mode": "IMMEDIATE"}, [])],
)
def test_a_site_on_sqlite_is_told_how_transactions_wait(
    options: dict[str, str], told: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(connection.settings_dict, "OPTIONS", options)
    if connection.vendor != "sqlite":
        told = []

    messages = run_checks(tags=[TAG], include_deployment_checks=True)

    assert [str(message.id).rpartition(".")[2] for message in messages] == told
    assert run_checks(tags=[TAG]) == []
    assert check_database([apps.get_app_config("auth")]) == []


def test_a_database_in_memory_has_no_other_writers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "is_in_memory_db", lambda: True, raising=False)

    assert check_database() == []


# How it is told


def test_manage_py_check_tells_it_and_fails(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"DAILY_USER_LIMIT_USD": "ten"}

    with pytest.raises(SystemCheckError, match=r"\(coreason_budget\.E003\) COREASON_BUDGET\['DAILY_USER_LIMIT_USD'\]"):
        call_command("check", tags=[TAG])


def test_a_check_of_other_apps_leaves_it_out(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"DAILY_USER_LIMIT_USD": "ten"}

    assert check_settings([apps.get_app_config("auth")]) == []
    assert len(check_settings([apps.get_app_config("coreason_budget")])) == 1
    assert len(checks.run_checks(app_configs=None, tags=[TAG])) == 1


def test_checking_opens_no_connection(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    settings.CACHES = {"default": {"BACKEND": "django_redis.cache.RedisCache", "LOCATION": "redis://127.0.0.1:1/0"}}

    def refuse(*_: object) -> None:
        raise AssertionError("a check must not connect")

    monkeypatch.setattr(socket.socket, "connect", refuse)

    assert found() == []


def test_checking_does_not_import_litellm() -> None:
    program = (
        "import django; django.setup(); from django.core.management import call_command; call_command('check');"
        "import sys; print('litellm' in sys.modules)"
    )
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "tests.settings"}

    output = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )

    assert output.stdout.splitlines()[-1] == "False"
