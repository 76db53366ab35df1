"""
The settings of the app, each with its parser, and ``BudgetConfig``, which holds one value of each.

A value comes from the keyword, else from the dict ``COREASON_BUDGET`` in Django's settings, else from the
environment variable ``COREASON_BUDGET_<NAME>``, else it is the default. Wrong values are errors that name the remedy.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Mapping
from datetime import timedelta
from decimal import Decimal, InvalidOperation
from types import MappingProxyType
from typing import Any, ClassVar, Final, Generic, TypeVar, overload
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from django.core.exceptions import ValidationError
from django.core.validators import validate_email

from .exceptions import BudgetConfigurationError
from .money import to_nanos, to_usd

__all__ = ["ENV_PREFIX", "SETTING", "BudgetConfig", "limit_name"]

SETTING: Final = "COREASON_BUDGET"
ENV_PREFIX: Final = "COREASON_BUDGET_"
_DJANGOS_LISTS: Final = ("admins", "managers")

T = TypeVar("T")


class Setting(Generic[T]):
    """One typed setting: a descriptor that knows its default and how to read a value."""

    def __init__(self, default: object, parse: Callable[[Any], T]) -> None:
        self.default = default
        self.parse = parse

    def __set_name__(self, owner: type, name: str) -> None:
        self.name = name

    @overload
    def __get__(self, instance: None, owner: type) -> Setting[T]: ...
    @overload
    def __get__(self, instance: BudgetConfig, owner: type) -> T: ...
    def __get__(self, instance: BudgetConfig | None, owner: type) -> Setting[T] | T:
        if instance is None:
            return self
        value: T = instance._values[self.name]  # noqa: SLF001  # the descriptor is a part of that class
        return value

    def __set__(self, instance: BudgetConfig, value: object) -> None:
        raise AttributeError(f"BudgetConfig is immutable; make a new one with {self.name}=...")

    def read(self, raw: object, source: str) -> T:
        """Parse a raw value. Raise BudgetConfigurationError naming where it was read and what is wrong with it."""
        try:
            return self.parse(raw)
        except (ValueError, TypeError, ArithmeticError) as error:
            raise BudgetConfigurationError(f"{source}: {error}") from error


def _usd(raw: object) -> Decimal:
    return to_usd(to_nanos(raw, "the amount"))  # type: ignore[arg-type]  # to_nanos refuses what is no amount


def _limit(raw: object) -> Decimal | None:
    if raw is None or (isinstance(raw, str) and raw.strip().lower() in {"none", "unlimited"}):
        return None
    return _usd(raw)


def _text(raw: object) -> str:
    if isinstance(raw, str):
        return raw
    raise TypeError(f"must be text, not {type(raw).__name__}.")


def _name(raw: object) -> str:
    text = _text(raw)
    if not text.strip() or any(char in text for char in "{}\r\n\0"):
        raise ValueError(f"must be a name without braces or line breaks, not {raw!r}.")
    return text


def _optional_text(raw: object) -> str | None:
    return None if raw is None or raw == "" else _text(raw)


def _path(raw: object) -> str:
    return os.fspath(raw) if isinstance(raw, os.PathLike) else _text(raw)


def _zone(raw: object) -> ZoneInfo:
    if isinstance(raw, ZoneInfo):
        return raw
    try:
        return ZoneInfo(_text(raw))
    except (ZoneInfoNotFoundError, OSError, ValueError):
        raise ValueError(f"{raw!r} is no time zone; use an IANA name such as 'Europe/Berlin'.") from None


def _number(raw: object) -> Decimal:
    if isinstance(raw, timedelta):
        return Decimal(raw // timedelta(microseconds=1)) / 1_000_000
    if isinstance(raw, bool) or not isinstance(raw, (int, float, str, Decimal)):
        raise TypeError(f"must be a number, not {raw!r}.")
    try:
        number = Decimal(str(raw))
    except InvalidOperation:
        raise ValueError(f"must be a number, not {raw!r}.") from None
    if not number.is_finite():
        raise ValueError(f"must be a finite number, not {raw!r}.")
    return number


def _seconds(minimum: str, maximum: int) -> Callable[[object], float]:
    def parse(raw: object) -> float:
        number = _number(raw)
        if not Decimal(minimum) <= number <= maximum:
            raise ValueError(f"must be from {minimum} to {maximum} seconds, not {raw!r}.")
        return float(number)

    return parse


def _whole(minimum: int, maximum: int) -> Callable[[object], int]:
    def parse(raw: object) -> int:
        number = _number(raw)
        if number != number.to_integral_value() or not minimum <= number <= maximum:
            raise ValueError(f"must be a whole number from {minimum} to {maximum}, not {raw!r}.")
        return int(number)

    return parse


def _share(raw: object) -> float:
    number = _number(raw)
    if not Decimal("0.0001") <= number <= Decimal("0.5"):
        raise ValueError(f"must be a share from 0.0001 to 0.5, not {raw!r}.")
    return float(number)


def _switch(raw: object) -> bool:
    words = {"true": True, "1": True, "yes": True, "on": True, "false": False, "0": False, "no": False, "off": False}
    known = words.get(str(raw).strip().lower()) if isinstance(raw, (bool, int, str)) else None
    if known is None:
        raise ValueError(f"must be True or False, not {raw!r}.")
    return known


def _one_of(*choices: str) -> Callable[[object], str]:
    def parse(raw: object) -> str:
        if raw not in choices:
            raise ValueError(f"must be one of {', '.join(map(repr, choices))}, not {raw!r}.")
        return str(raw)

    return parse


def _thresholds(raw: object) -> tuple[int, ...]:
    items = [part for part in raw.split(",") if part.strip()] if isinstance(raw, str) else raw
    if not isinstance(items, (list, tuple, set, frozenset)):
        raise TypeError(f"must be a list of percentages, not {raw!r}.")
    percent = _whole(1, 100)
    return tuple(sorted({percent(item) for item in items}))


def _listed(raw: object, what: str) -> Iterable[str]:
    items = raw.split(",") if isinstance(raw, str) else raw
    if not isinstance(items, (list, tuple, set, frozenset)) or not all(isinstance(item, str) for item in items):
        raise TypeError(f"must be a list of {what}, not {raw!r:.80}.")
    return dict.fromkeys(item.strip() for item in items if item.strip())


def _recipients(raw: object) -> tuple[str, ...]:
    found = tuple(_listed(raw, "e-mail addresses"))
    for recipient in found:
        try:
            if recipient not in _DJANGOS_LISTS:
                validate_email(recipient)
        except ValidationError:
            raise ValueError(f"{recipient!r} is no e-mail address, and neither 'admins' nor 'managers'.") from None
    return found


def _some_of(*choices: str) -> Callable[[object], tuple[str, ...]]:
    one = _one_of(*choices)
    return lambda raw: tuple(one(item) for item in _listed(raw, f"{', '.join(map(repr, choices))}"))


def _mapping(raw: object) -> Mapping[str, Any]:
    if isinstance(raw, str):
        try:
            raw = json.loads(raw or "{}", parse_float=Decimal)
        except ValueError:
            raise ValueError(f"must be a JSON object, not {raw!r:.80}.") from None
    if not isinstance(raw, Mapping) or not all(isinstance(key, str) and key for key in raw):
        raise TypeError(f"must map names to values, not {raw!r:.80}.")
    return MappingProxyType(dict(raw))


class BudgetConfig:
    """
    The settings of one budget, all in one immutable object.

    ``BudgetConfig(daily_user_limit_usd="10")`` overrides single values; everything else comes from the settings,
    the environment or the default. Limits are USD (``Decimal``; None = no limit, 0 = blocked), times are seconds.
    Raise BudgetConfigurationError (a ValueError) for unknown names and for values that cannot be used.
    """

    redis_url = Setting(None, _optional_text)
    cache_alias = Setting("default", _name)
    key_prefix = Setting("coreason-budget", _name)
    time_zone = Setting("UTC", _zone)

    daily_user_limit_usd = Setting("10", _limit)
    daily_project_limit_usd = Setting("500", _limit)
    daily_global_limit_usd = Setting("5000", _limit)
    weekly_user_limit_usd = Setting(None, _limit)
    weekly_project_limit_usd = Setting(None, _limit)
    weekly_global_limit_usd = Setting(None, _limit)
    monthly_user_limit_usd = Setting(None, _limit)
    monthly_project_limit_usd = Setting(None, _limit)
    monthly_global_limit_usd = Setting(None, _limit)
    anonymous_daily_limit_usd = Setting(None, _limit)

    default_hold_usd = Setting("0.05", _usd)
    hold_ttl = Setting(600, _seconds("1", 86_400))
    expired_holds = Setting("charge", _one_of("charge", "release"))
    thresholds = Setting((50, 80, 100), _thresholds)

    timeout = Setting(1, _seconds("0.01", 60))
    database_timeout = Setting(10, _seconds("0.1", 300))
    on_unavailable = Setting("deny", _one_of("deny", "allow"))
    limits_ttl = Setting(30, _seconds("1", 3_600))
    verify_every = Setting(3_600, _seconds("1", 604_800))
    charge_id_ttl = Setting(3_600, _seconds("60", 604_800))
    journal_max_length = Setting(1_000_000, _whole(100, 100_000_000))
    drain_after = Setting(30, _seconds("1", 3_600))
    refusals_kept = Setting(10_000, _whole(0, 1_000_000))
    refusal_ttl = Setting(604_800, _seconds("60", 31_536_000))
    database_work = Setting("auto", _one_of("auto", "thread", "inline"))

    model_price_overrides = Setting({}, _mapping)
    estimate_output_tokens = Setting(1_024, _whole(1, 10_000_000))
    learn_holds = Setting(True, _switch)  # noqa: FBT003  # a default, named by its setting
    learned_exceed_share = Setting("0.01", _share)

    user_id = Setting(None, _optional_text)
    project_id = Setting(None, _optional_text)
    alert_recipients = Setting((), _recipients)
    alert_scopes = Setting(("global", "project"), _some_of("user", "project", "global"))
    alert_from_percent = Setting(80, _whole(1, 100))
    alert_max_per_hour = Setting(20, _whole(1, 10_000))
    log_path = Setting("logs/app.log", _path)

    names: ClassVar[tuple[str, ...]]
    __slots__ = ("_values",)

    def __init__(self, **overrides: object) -> None:
        unknown = sorted(set(overrides) - set(self.names))
        if unknown:
            raise BudgetConfigurationError(_unknown(f"BudgetConfig({unknown[0]}=...)", unknown[0], self.names))
        settings = settings_dict()
        self._values: dict[str, Any] = {}
        for name in self.names:
            raw, source = _look_up(name, overrides, settings)
            self._values[name] = getattr(type(self), name).read(raw, source)

    def __repr__(self) -> str:
        changed = (f"{name}={self._values[name]!r}" for name in self.names if self._differs(name))
        return f"BudgetConfig({', '.join(changed)})"

    def _differs(self, name: str) -> bool:
        if name == "redis_url":
            return False  # it may hold a password
        setting: Setting[Any] = getattr(type(self), name)
        return bool(self._values[name] != setting.parse(setting.default))

    def limit_for(self, scope: str, period: str) -> Decimal | None:
        """Return the default limit in USD of a scope and period (``user``, ``day``), None for no limit."""
        value: Decimal | None = self._values[limit_name(scope, period)]
        return value


BudgetConfig.names = tuple(name for name, value in vars(BudgetConfig).items() if isinstance(value, Setting))


def limit_name(scope: str, period: str) -> str:
    """Return which setting is the default limit of a scope and period (``user``, ``day``): ``daily_user_limit_usd``."""
    adverb = {"day": "daily", "week": "weekly", "month": "monthly"}[period]
    return f"{adverb}_{scope}_limit_usd"


def settings_dict() -> Mapping[str, object]:
    """Return ``settings.COREASON_BUDGET``. Raise BudgetConfigurationError for a wrong type or unknown keys."""
    from django.conf import settings

    raw = getattr(settings, SETTING, {}) if settings.configured or "DJANGO_SETTINGS_MODULE" in os.environ else {}
    if not isinstance(raw, Mapping):
        raise BudgetConfigurationError(f"{SETTING} must be a dict, not {type(raw).__name__}.")
    known = [name.upper() for name in BudgetConfig.names]
    for key in raw:
        if key not in known:
            raise BudgetConfigurationError(_unknown(f"{SETTING}[{key!r}]", str(key), known))
    return raw


def _look_up(name: str, overrides: Mapping[str, object], settings: Mapping[str, object]) -> tuple[object, str]:
    key = name.upper()
    if name in overrides:
        return overrides[name], f"BudgetConfig({name}=...)"
    if key in settings:
        return settings[key], f"{SETTING}[{key!r}]"
    if ENV_PREFIX + key in os.environ:
        return os.environ[ENV_PREFIX + key], f"environment variable {ENV_PREFIX}{key}"
    return getattr(BudgetConfig, name).default, f"default of {key}"


def _unknown(where: str, name: str, known: Iterable[str]) -> str:
    from difflib import get_close_matches

    names = {known_name.lower(): known_name for known_name in known}
    close = get_close_matches(name.lower(), names, n=1, cutoff=0.5)
    hint = f" Did you mean {names[close[0]]!r}?" if close else f" Known names: {', '.join(names.values())}."
    return f"{where} is no setting of coreason_budget.{hint}"
