"""Who pays: scopes, subjects, and the accounts that one call is charged to."""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache
from typing import Final
from urllib.parse import quote, unquote
from uuid import UUID

__all__ = ["ANONYMOUS", "GLOBAL", "MAX_ID_LENGTH", "Scope", "Subject", "clean_id", "subject_of_key", "subjects_of"]

MAX_ID_LENGTH: Final = 200


class Scope(StrEnum):
    """The level of the hierarchy that a limit belongs to; the order is the order of reporting."""

    USER = "user"
    PROJECT = "project"
    GLOBAL = "global"


class _Anonymous(str):
    """The one bucket of visitors who are not logged in. It is empty text, which no real id can be."""

    __slots__ = ()

    def __repr__(self) -> str:
        return "ANONYMOUS"

    def __reduce__(self) -> str:
        return "ANONYMOUS"  # copies and pickles are the one object again


ANONYMOUS: Final = _Anonymous()


@dataclass(frozen=True, slots=True)
class Subject:
    """Whose account it is: a scope and an id as text (empty for the global scope and for anonymous visitors)."""

    scope: Scope
    id: str = ""

    @property
    def key(self) -> str:
        """The subject as part of a Redis key; no two subjects share one."""
        return _key(self.scope, self.id)

    @property
    def label(self) -> str:
        """The subject as people read it in messages and tables."""
        if self.scope is Scope.GLOBAL:
            return "global"
        return f"{self.scope.value} {self.id or 'anonymous'}"


GLOBAL: Final = Subject(Scope.GLOBAL)


def clean_id(value: object, name: str) -> str:
    """
    Return an id as text: a str as it is, an int or UUID (primary keys) as its text.

    Raise TypeError for other types and ValueError for empty, blank, over-long (more than 200 characters) ids and
    for ids with control characters. ``ANONYMOUS`` passes: it stands for every visitor who is not logged in.
    """
    if value is ANONYMOUS:
        return ANONYMOUS
    if isinstance(value, bool) or not isinstance(value, (str, int, UUID)):
        raise TypeError(f"{name} must be a str, int or UUID, not {type(value).__name__}: {value!r:.80}.")
    text = str.__str__(value) if isinstance(value, str) else str(value)  # of a subclass (SafeString, enums) the text
    if _is_plain(text):
        return text
    raise ValueError(_id_problem(text, name))


def subjects_of(user_id: object, project_id: object = None) -> tuple[Subject, ...]:
    """Return the accounts that a call of this user (and project, if any) is held on and charged to."""
    user = Subject(Scope.USER, clean_id(user_id, "user_id"))
    if project_id is None:
        return (user, GLOBAL)
    return (user, Subject(Scope.PROJECT, _project(project_id)), GLOBAL)


def subject_of_key(key: str) -> Subject:
    """Return the subject whose ``key`` this is. Raise ValueError for text that is no subject's key."""
    scope, _, quoted = key.partition(":")
    subject = Subject(Scope(scope), unquote(quoted, errors="strict"))
    if subject.key != key:
        raise ValueError(f"{key!r} is no key of a subject.")
    return subject


def _project(project_id: object) -> str:
    if project_id is ANONYMOUS:
        raise ValueError("project_id must not be ANONYMOUS; pass None for a call without a project.")
    return clean_id(project_id, "project_id")


@lru_cache(maxsize=4096)
def _is_plain(text: str) -> bool:
    return bool(text.strip()) and len(text) <= MAX_ID_LENGTH and not any(map(_is_forbidden, text))


def _is_forbidden(char: str) -> bool:
    return unicodedata.category(char) in {"Cc", "Cs", "Zl", "Zp"}


def _id_problem(text: str, name: str) -> str:
    if not text.strip():
        return f"{name} must not be empty or blank, got {text!r}; use ANONYMOUS for visitors who are not logged in."
    if len(text) > MAX_ID_LENGTH:
        return f"{name} must have at most {MAX_ID_LENGTH} characters, got {len(text)}: {text[:40]!r}..."
    return f"{name} must not contain control characters or lone surrogates, got {text!a}."


@lru_cache(maxsize=4096)
def _key(scope: Scope, text: str) -> str:
    return f"{scope.value}:{quote(text, safe='')}"
