"""Limits as a table of text: the columns of a CSV file, how one is read, and what each cell may say."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, Final

from django import forms
from django.core.exceptions import ValidationError
from django.utils.dateparse import parse_datetime
from django.utils.translation import gettext as _

from ..management.spreadsheet import harmless
from ..models import validate_project_id
from ..periods import PERIODS, Period
from ..scopes import Scope
from ..templatetags.amounts import plain
from . import words
from .fields import UsdField

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ..models import BudgetLimit

__all__ = ["FileError", "Line", "cells", "columns", "file_cell", "read_cells", "read_file"]

#: For machines and for people of every language, so they are never translated.
UNLIMITED: Final = "unlimited"
WHOSE: Final = {Scope.USER: ["user"], Scope.PROJECT: ["project"], Scope.GLOBAL: []}
_REQUIRED: Final = ["period", "amount_usd"]
_OPTIONAL: Final = ["boost_usd", "boost_until", "reason"]

#: A file is sent twice, the second time packed in the page that asks.
MAX_BYTES: Final = 1_500_000
MAX_ROWS: Final = 20_000

_SHOWN: Final = 60


class FileError(Exception):
    """A file cannot be read as a table of limits; the message says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Line:
    """A row of a file: the number of the line that it ends in, and its cells by the names of their columns."""

    number: int
    cells: Mapping[str, str]


def columns(scope: Scope) -> list[str]:
    """Return the columns of a file with limits of one kind."""
    return ["scope", *WHOSE[scope], *_REQUIRED, *_OPTIONAL]


def file_cell(text: str) -> str:
    """Return text for a cell: what a spreadsheet would run gets an apostrophe, and so does what looks like that."""
    return f"'{text}" if harmless(text.lstrip("'")) != text.lstrip("'") else text


def _text_of(cell: str) -> str:
    rest = cell.removeprefix("'")
    return rest if rest != cell and file_cell(rest) == cell else cell.strip()


def cells(limit: BudgetLimit) -> list[str]:
    """Return a limit as a row of a file."""
    whose = [] if limit.scope is Scope.GLOBAL else [file_cell(words.whose(limit))]
    until = "" if limit.boost_until is None else limit.boost_until.astimezone(UTC).isoformat().replace("+00:00", "Z")
    amount = UNLIMITED if limit.amount_usd is None else plain(_short(limit.amount_usd))
    boost = "" if limit.boost_usd is None else plain(_short(limit.boost_usd))
    return [limit.scope.value, *whose, limit.period, amount, boost, until, file_cell(limit.reason)]


def _short(usd: Decimal) -> Decimal:
    return usd.normalize() if usd % 1 else Decimal(int(usd))


def read_file(content: bytes, scope: Scope) -> list[Line]:
    """Return the rows of a file. Raise FileError if it is no table with these columns."""
    if len(content) > MAX_BYTES:
        raise FileError(_("The file has more than %(most)s bytes. Split it.") % {"most": words.number(MAX_BYTES)})
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise FileError(_("The file is not UTF-8. Save it as “CSV UTF-8”.")) from None
    head = text.partition("\n")[0]
    delimiter = max(",;\t", key=head.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        names = [name.strip().lower() for name in next(reader, [])]
        _check_columns(names, scope)
        return _lines(reader, names)
    except csv.Error as error:
        told = {"line": reader.line_num, "error": str(error)}
        raise FileError(_("Line %(line)s is no CSV: %(error)s.") % told) from None


def _check_columns(names: Sequence[str], scope: Scope) -> None:
    known = columns(scope)
    told = {"columns": ", ".join(known)}
    unknown = [name for name in names if name not in known]
    if unknown:
        shown = {"name": words.name(unknown[0][:_SHOWN]), **told}
        raise FileError(_("There is no column “%(name)s”. The columns are: %(columns)s.") % shown)
    missing = [name for name in (*WHOSE[scope], *_REQUIRED) if name not in names]
    if missing:
        shown = {"name": missing[0], **told}
        raise FileError(_("The column “%(name)s” is missing. The columns are: %(columns)s.") % shown)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise FileError(_("The column “%(name)s” is there twice.") % {"name": twice[0]})


def _lines(reader: Any, names: Sequence[str]) -> list[Line]:
    lines: list[Line] = []
    for row in reader:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) != len(names):
            told = {"line": reader.line_num, "found": len(row), "wanted": len(names)}
            raise FileError(
                _("Line %(line)s has %(found)s cells instead of %(wanted)s. A text with a comma needs quotation marks.")
                % told
            )
        lines.append(Line(reader.line_num, dict(zip(names, map(_text_of, row), strict=True))))
        if len(lines) > MAX_ROWS:
            raise FileError(_("The file has more than %(most)s limits. Split it.") % {"most": words.number(MAX_ROWS)})
    if not lines:
        raise FileError(_("The file has no limits."))
    return lines


_USD: Final = UsdField(required=False)
_REASON: Final = forms.CharField(max_length=500, required=False)


def read_cells(given: Mapping[str, str], scope: Scope) -> tuple[dict[str, Any], dict[str, str]]:
    """Return what the cells of a row say by the fields of a limit, and what is wrong with those that cannot be read."""
    values: dict[str, Any] = {}
    errors: dict[str, str] = {}
    for column, text in given.items():
        try:
            values |= _READERS[column](text, scope)
        except ValidationError as error:
            errors[column] = " ".join(error.messages)
    if not errors and (values.get("boost_usd") is None) != (values.get("boost_until") is None):
        errors["boost_until"] = _("A boost needs both an amount and an end.")
    return values, errors


def _scope(text: str, scope: Scope) -> dict[str, Any]:
    if text.lower() not in {"", scope.value}:
        said = _("“%(value)s” does not belong here: this is the list of limits of the scope “%(scope)s”.")
        raise ValidationError(said % {"value": _name(text), "scope": scope.value})
    return {}


def _user(text: str, scope: Scope) -> dict[str, Any]:
    if not text:
        raise ValidationError(_("Enter the name of a user."))
    return {}  # who that is, the resource looks up for all rows together


def _project(text: str, scope: Scope) -> dict[str, Any]:
    validate_project_id(text)
    return {"project_id": text}


def _period(text: str, scope: Scope) -> dict[str, Any]:
    if text.lower() not in {period.value for period in PERIODS}:
        said = _("“%(value)s” is no period. Write day, week or month.")
        raise ValidationError(said % {"value": _name(text)})
    return {"period": Period(text.lower()).value}


def _amount(text: str, scope: Scope) -> dict[str, Any]:
    if not text:
        raise ValidationError(_("Enter an amount, 0 to block every call, or the word unlimited."))
    return {"amount_usd": None if text.lower() == UNLIMITED else _USD.clean(text)}


def _boost(text: str, scope: Scope) -> dict[str, Any]:
    return {"boost_usd": _USD.clean(text)}


def _until(text: str, scope: Scope) -> dict[str, Any]:
    return {"boost_until": _instant(text) if text else None}


def _instant(text: str) -> datetime:
    try:
        at = parse_datetime(text)
    except ValueError:  # of the right shape, but no day or hour that there is
        at = None
    if at is None or at.tzinfo is None:
        said = _("“%(value)s” is no instant with a time zone. Write it like 2026-12-24T18:00:00Z.")
        raise ValidationError(said % {"value": _name(text)})
    return at


def _reason(text: str, scope: Scope) -> dict[str, Any]:
    return {"reason": _REASON.clean(text)}


_READERS: Final = {
    "scope": _scope,
    "user": _user,
    "project": _project,
    "period": _period,
    "amount_usd": _amount,
    "boost_usd": _boost,
    "boost_until": _until,
    "reason": _reason,
}


def _name(text: str) -> str:
    return words.name(text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…")
