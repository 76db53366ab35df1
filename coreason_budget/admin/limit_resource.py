"""Limits from and to tables by django-import-export, an extra: nothing imports this before it is asked for."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from django.contrib.auth import get_user_model
from django.core.exceptions import ValidationError
from django.utils import timezone
from django.utils.translation import gettext as _
from import_export.instance_loaders import BaseInstanceLoader
from import_export.resources import Resource
from tablib import Dataset

from ..models import GlobalLimit, ProjectLimit, UserLimit
from ..scopes import Scope
from . import words
from .conflicts import fingerprint, locked
from .limit_changes import Terms
from .limit_file import Line, cells, columns, read_cells
from .user_choice import user_name_field

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from django.db.models import QuerySet

    from ..models import BudgetLimit

__all__ = ["Change", "LimitResource", "resource_of"]

#: Every field that a file may set.
_FIELDS: Final = ("amount_usd", "boost_usd", "boost_until", "reason")
_AT_ONCE: Final = 500

#: What tells one limit from another of its kind: whose it is, and its period.
Key = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Change:
    """What becomes of a limit, and by which line; ``before`` is None for a limit that is new."""

    line: int
    limit: BudgetLimit
    before: Terms | None
    reason_before: str


@dataclass(frozen=True, slots=True)
class _Row:
    """A row as it was read: what it says, what is wrong with it, and whose limit it is about."""

    line: Line
    values: Mapping[str, Any]
    errors: Mapping[str, str]
    user: Any


class LimitResource(Resource):  # type: ignore[misc]  # it has no annotations
    """Limits of one kind. What a row leaves out of the optional columns stays as it is; other limits stay too."""

    class Meta:
        skip_diff = True
        import_id_fields = ()
        instance_loader_class = BaseInstanceLoader
        use_bulk = True  # else each row has a savepoint, also when nothing is saved

    def __init__(self, lines: Sequence[Line] = ()) -> None:
        super().__init__()
        self.scope: Scope = self._meta.model.scope
        self.changes: list[Change] = []
        self._lines = lines
        self._users: dict[str, Any] = {}
        self._known: dict[Key, BudgetLimit] = {}
        self._states: dict[Key, str] = {}
        self._seen: dict[Key, int] = {}
        self._row: _Row
        self._change: Change | None = None

    # out -------------------------------------------------------------------------------------------------------------

    def export(self, queryset: QuerySet[Any] | None = None, **kwargs: Any) -> Dataset:
        """Return limits as a table."""
        limits = self._meta.model._default_manager.all() if queryset is None else queryset
        return Dataset(*map(cells, limits.iterator(_AT_ONCE)), headers=columns(self.scope))

    # in --------------------------------------------------------------------------------------------------------------

    def take(self, *, dry_run: bool) -> list[tuple[int, str, str, str]]:
        """
        Take the lines in, and return what is wrong: line, column, value, and what to do.

        A dry run saves nothing. Any other must be in a transaction; it stops at the first row that cannot be saved,
        with the ImportError of import_export.
        """
        table = Dataset(*(list(line.cells.values()) for line in self._lines), headers=list(self._lines[0].cells))
        result = self.import_data(table, dry_run=dry_run, raise_errors=not dry_run, use_transactions=False)
        for error in (*result.base_errors, *(error for row in result.error_rows for error in row.errors)):
            raise error.error  # no mistake of the file's: those are in the invalid rows
        found = []
        for row in result.invalid_rows:
            line = self._lines[row.number - 1]
            for column in dict.fromkeys((*line.cells, *row.error_dict)):
                found += [
                    (line.number, column, line.cells.get(column, ""), said) for said in row.error_dict.get(column, ())
                ]
        return found

    @property
    def state(self) -> str:
        """A short text that is another one as soon as one of the limits that the lines are about is another."""
        told = sorted((key, text) for key, text in self._states.items() if key in self._seen)
        return hashlib.sha256(repr(told).encode()).hexdigest()[:16]

    def before_import(self, dataset: Dataset, **kwargs: Any) -> None:
        """Look up the users and limits of all rows."""
        limits = locked(self._meta.model._default_manager.all())
        if self.scope is Scope.GLOBAL:
            self._remember(limits)
            return
        names = list(dict.fromkeys(line.cells[self.scope.value] for line in self._lines))
        for some in (names[at : at + _AT_ONCE] for at in range(0, len(names), _AT_ONCE)):
            if self.scope is Scope.PROJECT:
                self._remember(limits.filter(project_id__in=some))
                continue
            users = get_user_model()._default_manager.filter(**{f"{user_name_field()}__in": some}).in_bulk()
            self._users |= {str(user.get_username()): user for user in users.values()}
            self._remember(limits.filter(user__in=users), users)

    def _remember(self, limits: Iterable[Any], users: Mapping[Any, Any] | None = None) -> None:
        for limit in limits:
            if users is not None:
                limit.user = users[limit.user_id]
            self._known[limit.subject.id, limit.period] = limit
            self._states[limit.subject.id, limit.period] = fingerprint(limit, _FIELDS)

    def import_row(self, row: Any, instance_loader: Any, **kwargs: Any) -> Any:
        """Read a row, then go on. See Resource."""
        line = self._lines[kwargs["row_number"] - 1]
        values, errors = read_cells(line.cells, self.scope)
        user = self._users.get(line.cells.get("user", ""))
        if self.scope is Scope.USER and user is None:
            said = _("There is no user named “%(name)s”. Correct the name, or add the user first.")
            errors.setdefault("user", said % {"name": words.name(line.cells["user"])})
        self._row = _Row(line, values, errors, user)
        self._change = None
        return super().import_row(row, instance_loader, **kwargs)

    def get_or_init_instance(self, instance_loader: Any, row: Any) -> tuple[Any, bool]:
        """Return the limit that the row is about, and whether it is new. See Resource."""
        known = self._known.get(self._key()) if not self._row.errors else None
        if known is not None:
            return known, False
        return self._meta.model(**({} if self._row.user is None else {"user": self._row.user})), True

    def import_instance(self, instance: Any, row: Any, **kwargs: Any) -> None:
        """Set what the row says. Raise ValidationError for all that is wrong with it."""
        errors = self._row.errors or self._objections(instance)
        if errors:
            raise ValidationError({column: [said] for column, said in errors.items()})
        before = None if instance.pk is None else Terms.of(instance)
        change = Change(self._row.line.number, instance, before, instance.reason)
        as_it_was = _values(instance)
        for name, value in self._row.values.items():
            setattr(instance, name, value)
        if before is None or _values(instance) != as_it_was:
            self._change = change

    def _objections(self, limit: BudgetLimit) -> dict[str, str]:
        """Return what is wrong with a row that can be read, by column."""
        line = self._row.line
        first = self._seen.setdefault(self._key(), line.number)
        if first != line.number:
            said = _("Line %(line)s has this limit already. Keep one of them.")
            return {"period": said % {"line": first}}
        until = self._row.values.get("boost_until")
        if until is None or until == limit.boost_until or until > timezone.now():
            return {}
        return {"boost_until": _("%(end)s has passed. A boost must end later than now.") % {"end": words.moment(until)}}

    def _key(self) -> Key:
        whose = self._row.values.get("project_id", "") if self._row.user is None else str(self._row.user.pk)
        return whose, self._row.values["period"]

    def skip_row(self, instance: Any, original: Any, row: Any, import_validation_errors: Any = None) -> bool:
        """Skip a limit that is as its row says already. See Resource."""
        return not import_validation_errors and self._change is None

    def save_instance(self, instance: Any, is_create: bool, row: Any, **kwargs: Any) -> None:  # noqa: FBT001 - its own
        """Save a limit by itself, so that its signals push it, unless it is only looked at. See Resource."""
        if self._change is None:
            return
        self.changes.append(self._change)
        if not kwargs["dry_run"]:
            instance.save()


def _values(limit: BudgetLimit) -> list[Any]:
    return [getattr(limit, name) for name in _FIELDS]


def resource_of(model: type[BudgetLimit]) -> type[LimitResource]:
    """Return the resource of one kind of limits."""
    return _RESOURCES[model]


class _UserLimits(LimitResource):
    class Meta(LimitResource.Meta):
        model = UserLimit


class _ProjectLimits(LimitResource):
    class Meta(LimitResource.Meta):
        model = ProjectLimit


class _GlobalLimits(LimitResource):
    class Meta(LimitResource.Meta):
        model = GlobalLimit


_RESOURCES: Final[dict[type[BudgetLimit], type[LimitResource]]] = {
    UserLimit: _UserLimits,
    ProjectLimit: _ProjectLimits,
    GlobalLimit: _GlobalLimits,
}
