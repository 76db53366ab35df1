"""
System checks: ``manage.py check`` tells every mistake in the settings, each with an id and a remedy.

They look at settings and environment variables only; what a live server says is ``manage.py budget_doctor``'s.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlsplit

from django.conf import settings
from django.core import checks
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.utils.module_loading import import_string

from .conf import ENV_PREFIX, SETTING, BudgetConfig, limit_name
from .exceptions import BudgetConfigurationError
from .periods import PERIODS
from .scopes import Scope

if TYPE_CHECKING:
    from django.apps import AppConfig

__all__ = ["TAG", "check_database", "check_settings", "connect"]

TAG: Final = "coreason_budget"
SCHEMES: Final = ("redis", "rediss", "unix", "redis+cluster", "rediss+cluster")

Values = Mapping[str, Any]


def connect() -> None:
    """Register the checks. Called once, by the app's ``ready()``."""
    checks.register(check_settings, TAG)
    checks.register(check_database, TAG, deploy=True)


def check_settings(
    app_configs: Iterable[AppConfig] | None = None,
    **_: Any,
) -> list[checks.CheckMessage]:
    """Return every mistake in the settings of this app. It makes no query and opens no connection."""
    if app_configs is not None and all(app.label != TAG for app in app_configs):
        return []
    reading = _read()
    return [*reading.mistakes, *(message for check in _CHECKS for message in check(reading.values))]


def check_database(app_configs: Iterable[AppConfig] | None = None, **_: Any) -> list[checks.CheckMessage]:
    """Return what is wrong with the database of the spend records for a site that people use (``check --deploy``)."""
    from .models import SpendRecord

    if app_configs is not None and all(app.label != TAG for app in app_configs):
        return []
    alias = router.db_for_write(SpendRecord) or DEFAULT_DB_ALIAS
    connection = connections[alias]
    if connection.vendor != "sqlite" or connection.is_in_memory_db():  # type: ignore[attr-defined]
        return []
    mode = str(connection.settings_dict["OPTIONS"].get("transaction_mode") or "DEFERRED").upper()
    if mode != "DEFERRED":
        return []
    told = (
        f"DATABASES[{alias!r}] is SQLite with deferred transactions: one that reads and then writes fails with "
        "'database is locked' whenever anybody else has written meanwhile, as the ledger does after each charge."
    )
    hint = f"Set DATABASES[{alias!r}]['OPTIONS']['transaction_mode'] = 'IMMEDIATE': then it waits."
    return [checks.Warning(told, hint=hint, id="coreason_budget.W005")]


# reading: each value by itself ---------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Reading:
    """The values that can be used, by field name, and what is wrong with the others."""

    values: dict[str, Any] = field(default_factory=dict)
    mistakes: list[checks.CheckMessage] = field(default_factory=list)


def _read() -> _Reading:
    reading = _Reading()
    raw = getattr(settings, SETTING, {})
    if not isinstance(raw, Mapping):
        reading.mistakes.append(_not_a_dict(raw))
        raw = {}
    reading.mistakes.extend(_unknown_keys(raw))
    reading.mistakes.extend(_unknown_variables())
    for name in BudgetConfig.names:
        _read_one(name, raw, reading)
    return reading


def _read_one(name: str, raw: Mapping[Any, object], reading: _Reading) -> None:
    setting = getattr(BudgetConfig, name)
    value, source, mistake_id = _look_up(name, raw, setting.default)
    try:
        reading.values[name] = setting.read(value, source)
    except BudgetConfigurationError as error:
        hint = f"Correct the value, or leave it out for the default: {setting.default!r}."
        reading.mistakes.append(checks.Error(str(error), hint=hint, id=mistake_id))


def _look_up(name: str, raw: Mapping[Any, object], default: object) -> tuple[object, str, str]:
    """Return a raw value, where it is from, and the id of the mistake that it is if it cannot be used."""
    key, variable = name.upper(), ENV_PREFIX + name.upper()
    if key in raw:
        return raw[key], f"{SETTING}[{key!r}]", "coreason_budget.E003"
    if variable in os.environ:
        return os.environ[variable], f"environment variable {variable}", "coreason_budget.E004"
    return default, f"default of {key}", ""


def _not_a_dict(raw: object) -> checks.CheckMessage:
    return checks.Error(
        f"{SETTING} must be a dict, not {type(raw).__name__}.",
        hint=f"Write {SETTING} = {{'DAILY_USER_LIMIT_USD': '10', ...}}.",
        id="coreason_budget.E001",
    )


def _unknown_keys(raw: Mapping[Any, object]) -> Iterator[checks.CheckMessage]:
    known = [name.upper() for name in BudgetConfig.names]
    for key in raw:
        if key not in known:
            yield checks.Error(
                f"{SETTING}[{key!r}] is no setting of coreason_budget.",
                hint=_suggestion(str(key), known),
                id="coreason_budget.E002",
            )


def _unknown_variables() -> Iterator[checks.CheckMessage]:
    known = [ENV_PREFIX + name.upper() for name in BudgetConfig.names]
    for variable in sorted(os.environ):
        if variable.startswith(ENV_PREFIX) and variable not in known:
            yield checks.Warning(
                f"The environment variable {variable} is no setting of coreason_budget and has no effect.",
                hint=_suggestion(variable, known),
                id="coreason_budget.W004",
            )


def _suggestion(name: str, known: list[str]) -> str:
    close = get_close_matches(name.upper(), known, n=1, cutoff=0.5)
    return f"Did you mean {close[0]!r}?" if close else f"Known names: {', '.join(known)}."


# where the ledger lives ----------------------------------------------------------------------------------------------


def _check_redis_url(values: Values) -> Iterator[checks.CheckMessage]:
    # The URL may hold a password, so no message repeats it.
    url = values.get("redis_url")
    if url is None:
        return
    scheme, separator, _ = url.partition("://")
    if not separator or scheme not in SCHEMES:
        yield checks.Error(
            f"REDIS_URL has no known scheme{f': {scheme!r}' if separator else ''}.",
            hint=f"Begin it with one of {', '.join(f'{known}://' for known in SCHEMES)}.",
            id="coreason_budget.E007",
        )
    elif not _has_address(url):
        yield checks.Error(
            "REDIS_URL cannot be read: its host or port is none.",
            hint="Write redis://:password@host:6379/0; in a password, write / as %2F, @ as %40, : as %3A and # as %23.",
            id="coreason_budget.E007",
        )
    elif scheme.endswith("+cluster") and urlsplit(url).path not in {"", "/", "/0"}:
        yield checks.Error(
            "REDIS_URL names a database number, but a cluster has only number 0.",
            hint="Leave the number out; KEY_PREFIX keeps installations apart.",
            id="coreason_budget.E007",
        )


def _has_address(url: str) -> bool:
    try:
        return urlsplit(url).port != 0
    except ValueError:
        return False


def _check_cache_alias(values: Values) -> Iterator[checks.CheckMessage]:
    if values.get("redis_url", "") is not None or "cache_alias" not in values:
        return  # REDIS_URL goes before the alias; a bad one is told by itself
    alias = values["cache_alias"]
    remedy = f"Set {SETTING}['CACHE_ALIAS'] to a django-redis cache, or {SETTING}['REDIS_URL']."
    if alias not in settings.CACHES:
        yield checks.Error(f"There is no cache {alias!r} in CACHES.", hint=remedy, id="coreason_budget.E005")
        return
    backend = str(settings.CACHES[alias].get("BACKEND", ""))
    if not backend.startswith("django_redis."):
        yield checks.Error(
            f"The cache {alias!r} is {backend!r}, but the ledger needs 'django_redis.cache.RedisCache'.",
            hint=remedy,
            id="coreason_budget.E006",
        )


# what depends on the project -----------------------------------------------------------------------------------------


def _check_time_zone_support(values: Values) -> Iterator[checks.CheckMessage]:
    if not settings.USE_TZ:
        yield checks.Error(
            "coreason_budget keeps aware datetimes, but USE_TZ is False.",
            hint="Set USE_TZ = True.",
            id="coreason_budget.E008",
        )


def _check_dotted_paths(values: Values) -> Iterator[checks.CheckMessage]:
    for name in ("user_id", "project_id"):
        path = values.get(name)
        problem = None if path is None else _problem_of(path)
        if problem:
            yield checks.Error(
                f"{name.upper()} is {path!r}, which {problem}.",
                hint="Use the dotted path of a function that takes the request, such as 'shop.budgets.project_of'.",
                id="coreason_budget.E009",
            )


def _problem_of(path: str) -> str | None:
    try:
        target = import_string(path)
    except Exception as error:  # noqa: BLE001 - a module may raise what it likes when it is imported
        return f"cannot be imported: {type(error).__name__}: {error}"
    return None if callable(target) else "is not callable"


def _check_price_overrides(values: Values) -> Iterator[checks.CheckMessage]:
    from .pricing import read_price_overrides

    for model, raw in values.get("model_price_overrides", {}).items():
        try:
            read_price_overrides({model: raw})
        except BudgetConfigurationError as error:
            yield checks.Error(
                str(error),
                hint="Write {'input_usd_per_million': '2.50', 'output_usd_per_million': '10'}, or {'free': True}.",
                id="coreason_budget.E010",
            )


# what is allowed and most likely not meant ---------------------------------------------------------------------------


def _check_limits(values: Values) -> Iterator[checks.CheckMessage]:
    """Warn of a default that a wider one makes void. No limit is a choice, and 0 is the kill switch: both are meant."""
    for period in PERIODS:
        names = [limit_name(scope, period.value) for scope in Scope]
        limits = [(name, values[name]) for name in names if values.get(name) is not None]
        for (narrow, narrow_usd), (wide, wide_usd) in pairwise(limits):
            if narrow_usd > wide_usd > 0:
                yield checks.Warning(
                    f"{narrow.upper()} ({narrow_usd:f}) is above {wide.upper()} ({wide_usd:f}) and may never "
                    "stop anyone.",
                    hint=f"Lower {narrow.upper()}, or raise {wide.upper()}.",
                    id="coreason_budget.W001",
                )


def _check_default_hold(values: Values) -> Iterator[checks.CheckMessage]:
    hold = values.get("default_hold_usd")
    for name in BudgetConfig.names:
        limit = values.get(name) if name.endswith("_limit_usd") else None
        if hold is not None and limit is not None and 0 < limit < hold:
            yield checks.Warning(
                f"DEFAULT_HOLD_USD ({hold:f}) is above {name.upper()} ({limit:f}): a call without an estimate of its "
                "own can never be held.",
                hint=f"Lower DEFAULT_HOLD_USD below {limit:f}, or raise {name.upper()}.",
                id="coreason_budget.W002",
            )


def _check_failing_open(values: Values) -> Iterator[checks.CheckMessage]:
    if values.get("on_unavailable") == "allow" and not settings.DEBUG:
        yield checks.Warning(
            "ON_UNAVAILABLE is 'allow': while Redis or the database does not answer, calls are made without a budget.",
            hint="Set it to 'deny', or silence this check if that is meant.",
            id="coreason_budget.W003",
        )


_CHECKS: Final[tuple[Callable[[Values], Iterator[checks.CheckMessage]], ...]] = (
    _check_redis_url,
    _check_cache_alias,
    _check_time_zone_support,
    _check_dotted_paths,
    _check_price_overrides,
    _check_limits,
    _check_default_hold,
    _check_failing_open,
)
