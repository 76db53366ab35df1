from __future__ import annotations

from decimal import Decimal
from typing import Any

import pytest
from django.utils import translation
from hypothesis import given
from hypothesis import strategies as st

from coreason_budget.templatetags.amounts import plain, usd


@pytest.mark.parametrize(
    ("amount", "rounding", "english", "german"),
    [
        ("0", "down", "$0.00", "0,00\N{NO-BREAK SPACE}$"),
        ("0.42", "down", "$0.42", "0,42\N{NO-BREAK SPACE}$"),
        ("0.429999999", "down", "$0.42", "0,42\N{NO-BREAK SPACE}$"),
        ("0.421", "up", "$0.43", "0,43\N{NO-BREAK SPACE}$"),
        ("10", "exact", "$10.00", "10,00\N{NO-BREAK SPACE}$"),
        ("1234567.899", "down", "$1,234,567.89", "1.234.567,89\N{NO-BREAK SPACE}$"),
        ("0.0506", "down", "$0.05", "0,05\N{NO-BREAK SPACE}$"),
        ("0.0516", "down", "$0.051", "0,051\N{NO-BREAK SPACE}$"),
        ("0.000427", "down", "$0.00042", "0,00042\N{NO-BREAK SPACE}$"),
        ("0.000427", "up", "$0.00043", "0,00043\N{NO-BREAK SPACE}$"),
        ("0.0999", "up", "$0.10", "0,10\N{NO-BREAK SPACE}$"),
        ("0.000000001", "down", "$0.000000001", "0,000000001\N{NO-BREAK SPACE}$"),
        ("0.123456789", "exact", "$0.123456789", "0,123456789\N{NO-BREAK SPACE}$"),
        ("-0.421", "up", "-$0.42", "-0,42\N{NO-BREAK SPACE}$"),
        ("-1234.5", "exact", "-$1,234.50", "-1.234,50\N{NO-BREAK SPACE}$"),
    ],
)
def test_amounts_are_written_as_the_language_does(amount: str, rounding: Any, english: str, german: str) -> None:
    with translation.override("en"):
        assert usd(Decimal(amount), rounding) == english
    with translation.override("de"):
        assert usd(Decimal(amount), rounding) == german


@pytest.mark.parametrize(
    ("language", "text"),
    [("es", "-12,50\N{NO-BREAK SPACE}US$"), ("es-mx", "-12.50\N{NO-BREAK SPACE}US$"), ("ja", "-$12.50")],
)
def test_dollars_are_told_from_the_pesos_of_others(language: str, text: str) -> None:
    with translation.override(language):
        assert usd(Decimal("-12.5"), "exact") == text


nanos = st.integers(min_value=-(10**18), max_value=10**18).map(lambda number: Decimal(number).scaleb(-9))


@given(nanos)
def test_nobody_is_promised_more_than_there_is(amount: Decimal) -> None:
    with translation.override("en"):
        down, up, exact = (_number(usd(amount, rounding)) for rounding in ("down", "up", "exact"))
    assert down <= amount == exact <= up
    assert up - down <= Decimal("0.01")
    assert plain(amount) == f"{amount:f}"


def _number(text: str) -> Decimal:
    return Decimal(text.replace("$", "").replace(",", ""))
