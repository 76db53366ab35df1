"""Settings: where a value comes from, what each of them refuses, and that nothing changes afterwards."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest

from coreason_budget.conf import BudgetConfig, Setting
from coreason_budget.exceptions import BudgetConfigurationError, BudgetError
from coreason_budget.money import MAX_USD

if TYPE_CHECKING:
    from collections.abc import Mapping

    from pytest_django import Settings

#: The five documented variables: field, default, and three values with what they become.
DOCUMENTED = [
    ("redis_url", None, ["redis://k:1/0", "redis://s:2/0", "redis://e:3/0"], ["redis://k:1/0", "redis://s:2/0", "redis://e:3/0"]),
    ("daily_user_limit_usd", Decimal("10.0"), [1.5, "2.50", "3.75"], [Decimal("1.5"), Decimal("2.5"), Decimal("3.75")]),
    ("daily_project_limit_usd", Decimal("500.0"), [Decimal(1), 2, "3e1"], [Decimal(1), Decimal(2), Decimal(30)]),
    ("daily_global_limit_usd", Decimal("5000.0"), [0, None, "none"], [Decimal(0), None, None]),
    ("log_path", "logs/app.log", [Path("k.log"), "s.log", ""], ["k.log", "s.log", ""]),
]  # fmt: skip


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch, settings: Settings) -> None:
    """Begin without a setting and without a variable."""
    for name in list(os.environ):
        if name.startswith("COREASON_BUDGET_"):
            monkeypatch.delenv(name)
    settings.COREASON_BUDGET = {}


# Where a value comes from


@pytest.mark.parametrize(("name", "default", "raw", "parsed"), DOCUMENTED)
def test_the_keyword_goes_before_the_settings_the_environment_and_the_default(
    monkeypatch: pytest.MonkeyPatch, settings: Settings, name: str, default: Any, raw: list[Any], parsed: list[Any]
) -> None:
    def value(**overrides: Any) -> Any:
        return getattr(BudgetConfig(**overrides), name)

    assert value() == default

    monkeypatch.setenv(f"COREASON_BUDGET_{name.upper()}", raw[2])
    assert value() == parsed[2]

    settings.COREASON_BUDGET = {name.upper(): raw[1]}
    assert value() == parsed[1]

    assert value(**{name: raw[0]}) == parsed[0]


def test_a_keyword_of_none_goes_before_the_settings_too(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"REDIS_URL": "redis://s:1/0", "DAILY_USER_LIMIT_USD": 5}

    config = BudgetConfig(redis_url=None, daily_user_limit_usd=None)

    assert config.redis_url is None
    assert config.daily_user_limit_usd is None


@pytest.mark.parametrize("variable", ["DAILY_USER_LIMIT_USD", "coreason_budget_daily_user_limit_usd"])
def test_other_variables_mean_nothing(monkeypatch: pytest.MonkeyPatch, variable: str) -> None:
    monkeypatch.setenv(variable, "1")

    assert BudgetConfig().daily_user_limit_usd == 10


@pytest.mark.parametrize("name", BudgetConfig.names)
def test_every_setting_can_come_from_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    setting: Setting[Any] = getattr(BudgetConfig, name)
    default = setting.default
    match default:
        case None:
            text = "none" if name.endswith("_usd") else ""
        case tuple():
            text = ", ".join(map(str, default))
        case _:
            text = "{}" if default == {} else str(default)
    monkeypatch.setenv(f"COREASON_BUDGET_{name.upper()}", text)

    assert getattr(BudgetConfig(), name) == getattr(BudgetConfig(**{name: default}), name)


def test_settings_are_read_when_the_config_is_made_and_not_again(settings: Settings) -> None:
    settings.COREASON_BUDGET = {"DAILY_USER_LIMIT_USD": 1}
    config = BudgetConfig()
    settings.COREASON_BUDGET = {"DAILY_USER_LIMIT_USD": 2}

    assert config.daily_user_limit_usd == 1
    assert BudgetConfig().daily_user_limit_usd == 2


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run code in a Python that knows no Django settings."""
    kept = {name: value for name, value in os.environ.items() if name != "DJANGO_SETTINGS_MODULE"}
    return subprocess.run(
        [sys.executable, "-c", code], env={**kept, **environment}, capture_output=True, text=True, check=False
    )


def test_without_django_settings_there_are_the_environment_and_the_defaults() -> None:
    code = "from coreason_budget.conf import BudgetConfig; print(BudgetConfig(daily_user_limit_usd=10.5))"

    ran = python(code, COREASON_BUDGET_DAILY_PROJECT_LIMIT_USD="7")

    assert ran.stderr == ""
    assert ran.stdout == ("BudgetConfig(daily_user_limit_usd=Decimal('10.5'), daily_project_limit_usd=Decimal('7'))\n")


def test_settings_that_are_named_but_not_loaded_yet_are_loaded() -> None:
    code = "from coreason_budget.conf import BudgetConfig; print(repr(BudgetConfig().log_path))"

    assert python(code, DJANGO_SETTINGS_MODULE="tests.settings").stdout == "''\n"


# What is refused


@pytest.mark.parametrize(
    ("key", "message"),
    [
        ("DAILY_USER_LIMIT", "Did you mean 'DAILY_USER_LIMIT_USD'?"),
        ("daily_user_limit_usd", "Did you mean 'DAILY_USER_LIMIT_USD'?"),
        ("REDIS_URI", "Did you mean 'REDIS_URL'?"),
        ("QQQ", "Known names: REDIS_URL, CACHE_ALIAS, "),
        (7, "Known names: REDIS_URL, "),
    ],
)
def test_an_unknown_key_in_the_settings_is_refused(settings: Settings, key: Any, message: str) -> None:
    settings.COREASON_BUDGET = {key: 1}

    with pytest.raises(BudgetConfigurationError) as caught:
        BudgetConfig()

    assert str(caught.value).startswith(f"COREASON_BUDGET[{key!r}] is no setting of coreason_budget. {message}")


@pytest.mark.parametrize("name", ["daily_user_limit", "DAILY_USER_LIMIT_USD"])
def test_an_unknown_keyword_is_refused(name: str) -> None:
    with pytest.raises(BudgetConfigurationError) as caught:
        BudgetConfig(**{name: 1})

    assert str(caught.value) == (
        f"BudgetConfig({name}=...) is no setting of coreason_budget. Did you mean 'daily_user_limit_usd'?"
    )


@pytest.mark.parametrize("value", [None, [], "x", 1])
def test_the_setting_is_a_dict(settings: Settings, value: Any) -> None:
    settings.COREASON_BUDGET = value

    with pytest.raises(
        BudgetConfigurationError, match=rf"^COREASON_BUDGET must be a dict, not {type(value).__name__}\.$"
    ):
        BudgetConfig()


def test_a_setting_that_is_not_there_is_an_empty_one(settings: Settings) -> None:
    del settings.COREASON_BUDGET

    assert BudgetConfig().daily_user_limit_usd == 10


BAD: Mapping[str, list[Any]] = {
    "redis_url": [1, b"redis://", ["redis://"]],
    "cache_alias": ["", " ", None, 1, "a\nb"],
    "key_prefix": ["", " ", "{p}", "a}b", "a\0", None, 1],
    "time_zone": ["", "Mars/Base", "../../etc/passwd", "/etc/localtime", None, 1, "Europe"],
    "daily_user_limit_usd": ["", " ", "ten", "-1", -0.01, "NaN", float("inf"), "1e10", True, [], "1_000"],
    "anonymous_daily_limit_usd": ["", "-1", False],
    "default_hold_usd": [None, "", "none", "-1", "free"],
    "hold_ttl": [0, "0.5", 86_401, "NaN", "Infinity", "soon", None, True, timedelta(days=2), "1e999999999"],
    "expired_holds": ["refund", "", None, "CHARGE", 1, []],
    "thresholds": ["0", "101", "50;80", 50, None, [50.5], [True], ["half"], {50: 1}],
    "timeout": [0, "-1", 61, "nan", None, True, [], 10**4000],
    "database_timeout": [0, 301],
    "on_unavailable": ["open", None, True],
    "limits_ttl": ["0", 3601],
    "verify_every": [0, 604_801],
    "charge_id_ttl": [59, 604_801],
    "journal_max_length": [99, "1.5", 10**9, None, "many", float("nan")],
    "drain_after": [0, 3601],
    "database_work": ["background", None],
    "model_price_overrides": [None, "[]", "{", 1, [("gpt-4", 1)], {1: 2}, {"": 1}],
    "estimate_output_tokens": [0, "1.1", 10**8, None],
    "user_id": [1, print],
    "project_id": [1, print],
    "alert_recipients": ["ann", "ann@", [1], None, 5, {"a@example.com": 1}, ["a@example.com\nBcc: b@example.com"]],
    "alert_scopes": ["site", None, 1, ["user", "day"]],
    "alert_from_percent": [0, 101, None, "half"],
    "alert_max_per_hour": [0, 10_001, None],
    "log_path": [None, 1, b"x"],
}  # fmt: skip


@pytest.mark.parametrize(("name", "value"), [(name, value) for name, values in BAD.items() for value in values])
def test_values_that_cannot_be_used_are_refused(settings: Settings, name: str, value: Any) -> None:
    with pytest.raises(BudgetConfigurationError, match=rf"^BudgetConfig\({name}=\.\.\.\): .+") as caught:
        BudgetConfig(**{name: value})
    assert isinstance(caught.value, ValueError)
    assert isinstance(caught.value, BudgetError)

    settings.COREASON_BUDGET = {name.upper(): value}
    with pytest.raises(BudgetConfigurationError, match=rf"^COREASON_BUDGET\['{name.upper()}'\]: .+"):
        BudgetConfig()


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREASON_BUDGET_DAILY_USER_LIMIT_USD", "ten")

    with pytest.raises(BudgetConfigurationError) as caught:
        BudgetConfig()

    assert str(caught.value) == (
        "environment variable COREASON_BUDGET_DAILY_USER_LIMIT_USD: "
        "the amount must be an amount of USD such as '0.05', not 'ten'."
    )


def test_an_empty_variable_does_not_lift_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COREASON_BUDGET_DAILY_GLOBAL_LIMIT_USD", "")

    with pytest.raises(BudgetConfigurationError, match="COREASON_BUDGET_DAILY_GLOBAL_LIMIT_USD"):
        BudgetConfig()


# What is understood


@pytest.mark.parametrize(
    ("name", "value", "parsed"),
    [
        ("redis_url", "", None),
        ("time_zone", ZoneInfo("Asia/Tokyo"), ZoneInfo("Asia/Tokyo")),
        ("time_zone", "Europe/Berlin", ZoneInfo("Europe/Berlin")),
        ("daily_user_limit_usd", "Unlimited", None),
        ("daily_user_limit_usd", " None ", None),
        ("daily_user_limit_usd", 0.1, Decimal("0.1")),
        ("daily_user_limit_usd", MAX_USD, MAX_USD),
        ("default_hold_usd", 0, Decimal(0)),
        ("hold_ttl", timedelta(minutes=2), 120.0),
        ("hold_ttl", "1.5", 1.5),
        ("hold_ttl", 86_400, 86_400.0),
        ("timeout", Decimal("0.01"), 0.01),
        ("timeout", 60, 60.0),
        ("thresholds", "80,50,,50", (50, 80)),
        ("thresholds", {100, 1.0}, (1, 100)),
        ("thresholds", "", ()),
        ("thresholds", [], ()),
        ("journal_max_length", "1e3", 1000),
        ("journal_max_length", 100.0, 100),
        ("model_price_overrides", "", {}),
        ("model_price_overrides", '{"m": {"input": 0.1}}', {"m": {"input": Decimal("0.1")}}),
        ("alert_recipients", "a@example.com, admins,,a@example.com", ("a@example.com", "admins")),
        ("alert_recipients", "", ()),
        ("alert_scopes", "user", ("user",)),
        ("alert_scopes", (), ()),
        ("user_id", "", None),
        ("user_id", "app.ids.user", "app.ids.user"),
    ],
)
def test_values_are_understood(name: str, value: Any, parsed: Any) -> None:
    read = getattr(BudgetConfig(**{name: value}), name)

    assert read == parsed
    assert type(read) is type(parsed) or name == "model_price_overrides"


def test_times_are_floats_and_counts_are_integers() -> None:
    config = BudgetConfig()

    assert [type(getattr(config, name)) for name in ("timeout", "hold_ttl", "limits_ttl", "drain_after")] == [float] * 4
    assert [type(getattr(config, name)) for name in ("journal_max_length", "estimate_output_tokens")] == [int] * 2


def test_a_limit_is_found_by_scope_and_period() -> None:
    config = BudgetConfig(weekly_project_limit_usd=7, monthly_user_limit_usd="30")

    assert config.limit_for("user", "day") == 10
    assert config.limit_for("project", "week") == 7
    assert config.limit_for("user", "month") == 30
    assert config.limit_for("global", "month") is None


# What does not change


def test_a_config_is_immutable() -> None:
    config = BudgetConfig()

    with pytest.raises(AttributeError, match=r"immutable; make a new one with daily_user_limit_usd=\.\.\."):
        config.daily_user_limit_usd = Decimal(1)
    with pytest.raises(AttributeError):
        config.new = 1  # type: ignore[attr-defined]


def test_a_mapping_is_a_copy_that_cannot_be_written() -> None:
    given = {"m": 1}
    prices = BudgetConfig(model_price_overrides=given).model_price_overrides
    given["m"] = 2

    assert prices == {"m": 1}
    with pytest.raises(TypeError):
        prices["m"] = 3  # type: ignore[index]


def test_the_text_shows_what_was_changed_and_no_password() -> None:
    url = "redis://:secret@redis.internal:6379/0"
    config = BudgetConfig(redis_url=url, daily_user_limit_usd=1, timeout=2)

    assert repr(config) == "BudgetConfig(daily_user_limit_usd=Decimal('1'), timeout=2.0)"
    assert repr(BudgetConfig()) == "BudgetConfig()"
    with pytest.raises(AttributeError) as caught:
        config.redis_url = url
    assert "secret" not in str(caught.value)


def test_the_class_shows_its_settings() -> None:
    assert isinstance(BudgetConfig.daily_user_limit_usd, Setting)
    assert BudgetConfig.names[:2] == ("redis_url", "cache_alias")
