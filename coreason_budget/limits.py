"""The limits of a subject: the defaults of the settings, and the rows of the database that replace them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

from django.core.exceptions import ValidationError
from django.db import models, router
from django.utils import timezone

from .money import to_nanos
from .periods import PERIODS, Period
from .scopes import Scope, Subject

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from decimal import Decimal

    from .conf import BudgetConfig
    from .models import BudgetLimit

__all__ = ["Limits"]

M = TypeVar("M", bound=models.Model)


class Limits:
    """The limits of one configuration, in nano-USD by period; None is unlimited."""

    def __init__(self, config: BudgetConfig) -> None:
        self._defaults = {
            scope: {period: _nanos(config.limit_for(scope.value, period.value)) for period in PERIODS}
            for scope in Scope
        }
        self._anonymous = dict(self._defaults[Scope.USER])
        if config.anonymous_daily_limit_usd is not None:
            self._anonymous[Period.DAY] = _nanos(config.anonymous_daily_limit_usd)

    def defaults(self, subject: Subject) -> Mapping[Period, int | None]:
        """Return the limits of the settings for a subject."""
        if subject.scope is Scope.USER and not subject.id:
            return self._anonymous
        return self._defaults[subject.scope]

    def overrides(self, subject: Subject) -> dict[Period, int | None]:
        """Return the limits that rows of the database set for a subject now, boosts included; one query."""
        return self.overrides_of([subject])[subject]

    def overrides_of(self, subjects: Iterable[Subject]) -> dict[Subject, dict[Period, int | None]]:
        """Return the overrides of each subject; one query for each scope. See overrides()."""
        now = timezone.now()
        found: dict[Subject, dict[Period, int | None]] = {subject: {} for subject in subjects}
        for scope in {subject.scope for subject in found}:
            for row in _rows(scope, [subject.id for subject in found if subject.scope is scope]):
                if row.subject in found:  # a database may find ids that differ in case
                    found[row.subject][Period(row.period)] = _nanos(row.effective_usd(now))
        return found


def _rows(scope: Scope, ids: Iterable[str]) -> Iterable[BudgetLimit]:
    from .models import GlobalLimit, ProjectLimit, UserLimit

    match scope:
        case Scope.USER:
            keys = [key for key in map(user_key, ids) if key is not None]
            return _current(UserLimit).filter(user__in=keys) if keys else ()
        case Scope.PROJECT:
            return _current(ProjectLimit).filter(project_id__in=ids)
        case Scope.GLOBAL:
            return _current(GlobalLimit).all()


def _current(model: type[M]) -> models.Manager[M]:
    """Return a table's rows where they are written: a replica that lags would bring an old limit back."""
    return model._default_manager.db_manager(router.db_for_write(model))


def user_key(user_id: str) -> Any:
    """Return the primary key that a user id is the text of, None if it is not the text of one (``007`` is not 7)."""
    from django.contrib.auth import get_user_model

    field = get_user_model()._meta.pk
    try:
        key = field.to_python(user_id)
        field.run_validators(key)  # SQLite raises for a number that no column can hold
    except (ValidationError, ValueError, TypeError, OverflowError):
        return None
    return key if str(key) == user_id else None


def _nanos(usd: Decimal | None) -> int | None:
    return None if usd is None else to_nanos(usd)
