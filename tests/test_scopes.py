"""Ids: kept as they are, kept apart, and refused when nobody could tell them apart."""

from __future__ import annotations

import copy
import pickle
import re
import unicodedata
from itertools import combinations
from typing import Any
from uuid import UUID

import pytest
from django.utils.safestring import SafeString
from hypothesis import given
from hypothesis import strategies as st

from coreason_budget.scopes import (
    ANONYMOUS,
    GLOBAL,
    MAX_ID_LENGTH,
    Scope,
    Subject,
    clean_id,
    subject_of_key,
    subjects_of,
)

IDS = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=MAX_ID_LENGTH).filter(
    str.strip
)
TRICKY = [
    "a", "A", "a:b", "a", "b:c", ":", "::", "a/b", "a%2Fb", "a%252Fb", "%", "%25", "{", "}", "{a}", "a b", "a+b", " a",
    "a ",
    "0", "00", "-0", "None", "anonymous", "ANONYMOUS", "user", "project", "global", "user:a", "é", "e\u0301", "💰",
    "💰\ufe0f",
    "ﬁ", "fi", "ß", "ss", "a\u200b", "..", ".", "~", "*", "?", "'", '"', "\\", "x" * 200, "x" * 199,
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ("ann", "ann"),
        (7, "7"),
        (0, "0"),
        (-1, "-1"),
        (UUID(int=1), "00000000-0000-0000-0000-000000000001"),
        (" padded ", " padded "),
        (SafeString("safe"), "safe"),
        (Scope.USER, "user"),
        ("e\u0301", "e\u0301"),
        ("💰" * 200, "💰" * 200),
    ],
)
def test_an_id_is_kept_as_it_is(value: Any, text: str) -> None:
    cleaned = clean_id(value, "user_id")

    assert cleaned == text
    assert type(cleaned) is str


@pytest.mark.parametrize("value", ["", " ", "\t\n", "\u3000", "\u00a0 "])
def test_a_blank_id_is_refused(value: str) -> None:
    message = f"user_id must not be empty or blank, got {value!r}; use ANONYMOUS for visitors who are not logged in."
    with pytest.raises(ValueError, match=f"^{re.escape(message)}$"):
        clean_id(value, "user_id")


def test_an_over_long_id_is_refused_and_not_printed_whole() -> None:
    with pytest.raises(ValueError, match=r"^project_id must have at most 200 characters, got 201: 'x{40}'\.\.\.$"):
        clean_id("x" * 201, "project_id")


@pytest.mark.parametrize("char", ["\0", "\n", "\r", "\t", "\x1b", "\x7f", "\x85", "\u2028", "\u2029", "\ud800"])
def test_control_characters_and_lone_surrogates_are_refused(char: str) -> None:
    with pytest.raises(ValueError, match=r"^user_id must not contain control characters or lone surrogates, got 'a\\"):
        clean_id(f"a{char}b", "user_id")


@pytest.mark.parametrize("value", [None, True, False, 1.0, b"ann", ["ann"], object()])
def test_other_types_are_refused(value: Any) -> None:
    with pytest.raises(TypeError, match=rf"^user_id must be a str, int or UUID, not {type(value).__name__}: "):
        clean_id(value, "user_id")


def test_visitors_share_one_account_that_no_id_can_have() -> None:
    (visitor, _) = subjects_of(ANONYMOUS)

    assert visitor == Subject(Scope.USER, "")
    assert visitor.key == "user:"
    assert visitor.label == "user anonymous"
    with pytest.raises(ValueError, match="empty or blank"):
        subjects_of("")


@pytest.mark.parametrize("again", [copy.copy, copy.deepcopy, lambda value: pickle.loads(pickle.dumps(value))])
def test_anonymous_stays_itself_through_copies_and_task_queues(again: Any) -> None:
    assert again(ANONYMOUS) is ANONYMOUS
    assert repr(ANONYMOUS) == "ANONYMOUS"


def test_a_project_cannot_be_anonymous() -> None:
    with pytest.raises(ValueError, match=r"^project_id must not be ANONYMOUS; pass None for a call without a project"):
        subjects_of("ann", ANONYMOUS)


def test_a_call_is_charged_to_the_user_the_project_and_the_site() -> None:
    assert subjects_of(7, "apollo") == (Subject(Scope.USER, "7"), Subject(Scope.PROJECT, "apollo"), GLOBAL)
    assert subjects_of("7") == (Subject(Scope.USER, "7"), GLOBAL)


def test_a_bad_project_is_named() -> None:
    with pytest.raises(ValueError, match=r"^project_id must not be empty"):
        subjects_of("ann", "")


def test_labels_are_for_people() -> None:
    assert [subject.label for subject in subjects_of("ann", "apollo")] == ["user ann", "project apollo", "global"]


def test_no_two_subjects_share_a_key() -> None:
    subjects = [GLOBAL, *(Subject(scope, each) for scope in (Scope.USER, Scope.PROJECT) for each in {"", *TRICKY})]

    for one, other in combinations(subjects, 2):
        assert one.key != other.key
        assert not other.key.startswith(f"{one.key}:")


def test_keys_hold_no_character_that_means_something_in_redis() -> None:
    for each in TRICKY:
        scope, _, rest = Subject(Scope.USER, each).key.partition(":")
        assert scope == "user"
        assert not set(rest) & set("{}:*?[]\\ \n")
        assert rest.isascii()


def test_normal_forms_are_two_accounts() -> None:
    one, other = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))

    assert Subject(Scope.USER, one).key != Subject(Scope.USER, other).key


@given(st.sampled_from([Scope.USER, Scope.PROJECT]), IDS, st.sampled_from([Scope.USER, Scope.PROJECT]), IDS)
def test_keys_are_equal_for_equal_subjects_only(scope: Scope, text: str, other_scope: Scope, other_text: str) -> None:
    one, other = Subject(scope, clean_id(text, "id")), Subject(other_scope, clean_id(other_text, "id"))

    assert (one.key == other.key) == (one == other)


@pytest.mark.parametrize(
    "subject", [GLOBAL, Subject(Scope.USER), Subject(Scope.USER, "a:b %ü"), Subject(Scope.PROJECT, "x")]
)
def test_a_key_names_its_subject(subject: Subject) -> None:
    assert subject_of_key(subject.key) == subject


@pytest.mark.parametrize("key", ["", "user", "group:x", "user:a b", "user:%zz", "user:%ff"])
def test_a_key_that_is_no_subjects_is_refused(key: str) -> None:
    with pytest.raises(ValueError, match=r"\S"):
        subject_of_key(key)
