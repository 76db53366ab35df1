"""The catalogues: each has every text of the package, translated, and its two files say the same."""

from __future__ import annotations

import ast
import gettext
import re
from pathlib import Path
from string import Formatter
from typing import TYPE_CHECKING, Any

import pytest
from django.utils import translation
from django.utils.translation.template import templatize

import coreason_budget
from coreason_budget.models import UserLimit

if TYPE_CHECKING:
    from collections.abc import Iterator

PACKAGE = Path(coreason_budget.__file__).parent

#: The languages, and how many forms a text has in them that counts something.
LANGUAGES = {"de": 2, "es": 3, "ja": 1}
every_language = pytest.mark.parametrize("language", LANGUAGES)

#: A text as gettext knows it: its context and itself, then its plural. What does not apply is None.
Text = tuple[str | None, str, str | None]

STRING = r"""u?(?:'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*")"""
CALL = re.compile(rf"\b(?P<name>n?p?gettext|_)\(\s*(?P<arguments>{STRING}(?:\s*,\s*{STRING})*)", re.DOTALL)
FUNCTIONS = {"_", *(f"{kind}gettext{form}" for kind in ("", "n", "p", "np") for form in ("", "_lazy", "_noop"))}


# What is in the catalogue.


def source(language: str) -> str:
    """Return the text of a ``.po`` file."""
    return (PACKAGE / "locale" / language / "LC_MESSAGES" / "django.po").read_text("utf-8")


def catalogue(language: str) -> dict[Text, tuple[str, ...]]:
    """Return the translations of a language."""
    blocks = source(language).split("\n\n")
    return dict(entry for entry in map(_entry, blocks) if entry[0][1])


def _entry(block: str) -> tuple[Text, tuple[str, ...]]:
    fields: dict[str, str] = {}
    for keyword, strings in re.findall(r'^(msg\S+) ((?:"(?:[^"\\]|\\.)*"\n?)+)', block, re.MULTILINE):
        fields[keyword] = "".join(map(ast.literal_eval, strings.split("\n")[: strings.strip().count("\n") + 1]))
    forms = tuple(text for keyword, text in fields.items() if keyword.startswith("msgstr"))
    return (fields.get("msgctxt"), fields["msgid"], fields.get("msgid_plural")), forms


# What is in the package.


def texts() -> dict[Text, str]:
    """Return every text that the package marks for translation, and a file that has it."""
    found: dict[Text, str] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        found.update(dict.fromkeys(_texts_of_module(path), str(path.relative_to(PACKAGE))))
    templates = PACKAGE / "templates"
    for path in sorted((*templates.rglob("*.html"), *templates.rglob("*.txt"))):
        found.update(dict.fromkeys(_texts_of_template(path), str(path.relative_to(PACKAGE))))
    return found


def _texts_of_module(path: Path) -> Iterator[Text]:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call):
            name = getattr(node.func, "id", getattr(node.func, "attr", ""))
            arguments = [item.value for item in node.args if isinstance(item, ast.Constant)]
            if name in FUNCTIONS and arguments:
                yield _text(name, arguments)


def _texts_of_template(path: Path) -> Iterator[Text]:
    for call in CALL.finditer(templatize(path.read_text())):
        arguments = [ast.literal_eval(string) for string in re.findall(STRING, call["arguments"], re.DOTALL)]
        yield _text(call["name"], arguments)


def _text(name: str, arguments: list[Any]) -> Text:
    has_context, has_plural = name.startswith(("p", "np")), name.startswith("n")
    context = arguments[0] if has_context else None
    singular, *plural = arguments[1 if has_context else 0 :]
    return context, singular, plural[0] if has_plural else None


# The two agree.


def test_the_catalogues_are_those_of_the_languages() -> None:
    assert {path.name for path in (PACKAGE / "locale").iterdir()} == {*LANGUAGES}


@every_language
def test_every_text_of_the_package_is_in_the_catalogue(language: str) -> None:
    known = catalogue(language)
    assert {text: where for text, where in texts().items() if text not in known} == {}


@every_language
def test_the_catalogue_has_no_text_that_is_gone(language: str) -> None:
    marked = texts()
    assert [text for text in catalogue(language) if text not in marked] == []


@every_language
def test_every_text_is_translated_in_all_its_forms(language: str) -> None:
    for text, forms in catalogue(language).items():
        assert len(forms) == (1 if text[2] is None else LANGUAGES[language]), text
        assert all(form.strip() for form in forms), text
    comments = [line for line in source(language).splitlines() if line.startswith("#")]
    assert [line for line in comments if "fuzzy" in line or line.startswith("#~")] == []


@every_language
def test_translations_fill_in_what_the_texts_do(language: str) -> None:
    for text, forms in catalogue(language).items():
        for form in forms:
            assert _placeholders(form) == _placeholders(text[1]), text


def _placeholders(text: str) -> set[str]:
    braces = (
        {f"{{{name}}}" for _, name, _, _ in Formatter().parse(text) if name is not None} if "%" not in text else set()
    )
    return {*re.findall(r"%\(\w+\)\d*[sd]|%[sd]|%%", text), *braces}


@every_language
def test_the_compiled_catalogue_is_that_of_the_source(language: str) -> None:
    with (PACKAGE / "locale" / language / "LC_MESSAGES" / "django.mo").open("rb") as file:
        compiled: dict[Any, str] = vars(gettext.GNUTranslations(file))["_catalog"]
    expected: dict[Any, str] = {}
    for (context, text, plural), forms in catalogue(language).items():
        key = text if context is None else f"{context}\x04{text}"
        expected |= {key: forms[0]} if plural is None else {(key, number): form for number, form in enumerate(forms)}
    assert {key: form for key, form in compiled.items() if key} == expected


@pytest.mark.parametrize(
    ("language", "name"),
    [
        ("de", "Benutzerlimit"),
        ("de-at", "Benutzerlimit"),
        ("es", "límite de usuario"),
        ("es-mx", "límite de usuario"),
        ("ja", "ユーザーの上限"),
        ("en", "user limit"),
        ("fr", "user limit"),
    ],
)
def test_the_catalogue_is_used(language: str, name: str) -> None:
    with translation.override(language):
        assert str(UserLimit._meta.verbose_name) == name


@pytest.mark.parametrize(
    ("language", "counted"),
    [
        ("de", {1: "1 Aufruf abgelehnt", 2: "2 Aufrufe abgelehnt"}),
        ("es", {1: "1 llamada rechazada", 0: "0 llamadas rechazadas", 10**6: "1000000 de llamadas rechazadas"}),
        ("ja", {1: "拒否された呼び出し 1 件", 2: "拒否された呼び出し 2 件"}),
    ],
)
def test_what_is_counted_has_the_form_of_its_number(language: str, counted: dict[int, str]) -> None:
    with translation.override(language):
        for count, text in counted.items():
            said = translation.ngettext("%(count)s call refused", "%(count)s calls refused", count)
            assert said % {"count": count} == text


@pytest.mark.parametrize(
    ("language", "informal", "formal"),
    [
        ("de", r"\b([Dd]u|[Dd]ein(e|er|en|em|es)?|[Dd]ir|[Dd]ich|[Ee]uch|[Ee]uer|[Ee]ure)\b", r"\bSie\b"),
        ("es", r"\b([Tt]ú|[Tt]us?|[Tt]e|[Tt]uy[oa]s?|[Vv]uestr[oa]s?|[Vv]osotr[oa]s)\b", r"\b[Ss]u\b"),
        ("ja", r"(だ|である|ない|(?<![まで])した|する)。", r"(ます|です|ません|ください)。"),
    ],
)
def test_visitors_are_addressed_formally(language: str, informal: str, formal: str) -> None:
    sentences = [sentence for forms in catalogue(language).values() for sentence in forms]
    assert [sentence for sentence in sentences if re.search(informal, sentence)] == []
    assert any(re.search(formal, sentence) for sentence in sentences)
