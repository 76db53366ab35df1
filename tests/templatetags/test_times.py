from __future__ import annotations

from datetime import timedelta, timezone
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

import pytest
from django.utils import translation
from django.utils.timezone import override as override_zone

from coreason_budget.templatetags.times import moment, wait

from .stage import MIDNIGHT

if TYPE_CHECKING:
    from pytest_django import Settings


@pytest.mark.parametrize(
    ("seconds", "english", "german"),
    [
        (1, "in 1 second", "in 1 Sekunde"),
        (119, "in 119 seconds", "in 119 Sekunden"),
        (121, "in 3 minutes", "in 3 Minuten"),
        (2 * 3_600 - 1, "in 120 minutes", "in 120 Minuten"),
        (2 * 3_600 + 1, "in 3 hours", "in 3 Stunden"),
        (2 * 86_400 - 1, "in 48 hours", "in 48 Stunden"),
        (2 * 86_400, "in 2 days", "in 2 Tagen"),
        (30 * 86_400 + 1, "in 31 days", "in 31 Tagen"),
    ],
)
def test_a_wait_is_never_said_to_be_shorter_than_it_is(seconds: int, english: str, german: str) -> None:
    with translation.override("en"):
        assert wait(seconds) == english
    with translation.override("de"):
        assert wait(seconds) == german


@pytest.mark.parametrize(
    ("zone", "language", "text"),
    [
        ("UTC", "en", "Tuesday, Nov. 24, 2026, midnight (UTC)"),
        ("UTC", "de", "Dienstag, 24. November 2026, 00:00 Uhr (UTC)"),
        ("Europe/Berlin", "de", "Dienstag, 24. November 2026, 01:00 Uhr (CET)"),
        ("Europe/Madrid", "es", "martes, 24 de noviembre de 2026, 01:00 (CET)"),
        ("Asia/Tokyo", "ja", "2026年11月24日 (火曜日) 9:00 (JST)"),
        ("America/Chicago", "en", "Monday, Nov. 23, 2026, 6 p.m. (CST)"),
        ("America/Sao_Paulo", "en", "Monday, Nov. 23, 2026, 9 p.m. (UTC-03)"),
    ],
)
def test_an_instant_is_shown_in_the_current_time_zone(zone: str, language: str, text: str) -> None:
    with override_zone(ZoneInfo(zone)), translation.override(language):
        assert moment(MIDNIGHT) == text


def test_without_time_zones_an_instant_is_shown_as_it_is(settings: Settings) -> None:
    settings.USE_TZ = False
    assert moment(MIDNIGHT) == "Tuesday, Nov. 24, 2026, midnight (UTC)"
    assert moment(MIDNIGHT.astimezone(timezone(timedelta(hours=2)))) == "Tuesday, Nov. 24, 2026, 2 a.m. (UTC+02:00)"
