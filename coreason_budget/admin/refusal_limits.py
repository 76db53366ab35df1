"""Where the limit of an account comes from: a row and who changed it last, or a setting."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final

from django.contrib.admin.models import LogEntry
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q

from .. import service
from ..conf import SETTING, limit_name
from ..limits import user_key
from ..models import GlobalLimit, ProjectLimit, UserLimit
from ..scopes import Scope
from . import words

if TYPE_CHECKING:
    from datetime import datetime
    from decimal import Decimal

    from ..models import BudgetLimit
    from ..scopes import Subject

__all__ = ["MODELS", "Origin", "origin_of"]

MODELS: Final[dict[Scope, type[BudgetLimit]]] = {
    Scope.USER: UserLimit,
    Scope.PROJECT: ProjectLimit,
    Scope.GLOBAL: GlobalLimit,
}
#: A row says when it was saved and the history when it was told of it, a moment later.
_APART: Final = timedelta(minutes=1)


@dataclass(frozen=True, slots=True)
class Origin:
    """
    Where a limit comes from now: the ``row``, else the ``setting``; what it is (USD, None is unlimited).

    ``entry`` is what the history says of the last change, None if it says nothing of it; ``changed`` is when it was.
    """

    limit: Decimal | None
    row: BudgetLimit | None = None
    setting: str = ""
    entry: LogEntry | None = None
    changed: datetime | None = None

    @property
    def by(self) -> str:
        """Who changed it last."""
        return str(self.entry.user.get_username()) if self.entry is not None else ""

    @property
    def what(self) -> str:
        """What the history says of it."""
        return words.name(self.entry.get_change_message()) if self.entry is not None else ""


def origin_of(subject: Subject, period: str) -> Origin:
    """Return where the limit of an account in a period comes from: one query for the row, one for its history."""
    row = _row(subject, period)
    if row is None:
        name, limit = _setting(subject, period)
        return Origin(limit, setting=f"{SETTING}[{name.upper()!r}]")
    entry = _latest(row)
    if entry is not None and entry.action_time < row.updated_at - _APART:
        entry = None  # since then it was changed where the admin does not see it
    return Origin(row.effective_usd(), row, entry=entry, changed=entry.action_time if entry else row.updated_at)


def _row(subject: Subject, period: str) -> BudgetLimit | None:
    rows: Any = MODELS[subject.scope]._default_manager.filter(period=period)
    match subject.scope:
        case Scope.USER:
            key = user_key(subject.id) if subject.id else None
            rows = rows.filter(user=key) if key is not None else rows.none()
        case Scope.PROJECT:
            rows = rows.filter(project_id=subject.id)
        case Scope.GLOBAL:
            pass
    # A database may find ids that differ in case.
    return next((row for row in rows if row.subject == subject), None)


def _setting(subject: Subject, period: str) -> tuple[str, Decimal | None]:
    config = service.manager().config
    if subject.scope is Scope.USER and not subject.id and period == "day":
        anonymous = config.anonymous_daily_limit_usd
        if anonymous is not None:
            return "anonymous_daily_limit_usd", anonymous
    return limit_name(subject.scope, period), config.limit_for(subject.scope, period)


def _latest(row: BudgetLimit) -> LogEntry | None:
    """Return the last entry of the history about a row; a user's may have been changed on the page of the user."""
    kinds = ContentType.objects.get_for_models(type(row), *(_owners(row)))
    about = Q(content_type=kinds[type(row)], object_id=str(row.pk))
    for owner in _owners(row):
        name = str(type(row)._meta.verbose_name_raw)
        about |= Q(content_type=kinds[owner], object_id=row.subject.id, change_message__contains=f'"{name}"')
    return LogEntry.objects.filter(about).select_related("user").order_by("-action_time", "-pk").first()


def _owners(row: BudgetLimit) -> list[Any]:
    return [type(row)._meta.get_field("user").related_model] if isinstance(row, UserLimit) else []
