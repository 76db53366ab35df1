"""Nano-dollars and Decimals: exact both ways, and nothing that is no amount of money comes in."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal, localcontext
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from coreason_budget.money import MAX_USD, NANOS_PER_USD, to_nanos, to_usd

MAX_NANOS = int(MAX_USD) * NANOS_PER_USD
NANOS = st.integers(-MAX_NANOS, MAX_NANOS)


@pytest.mark.parametrize(
    ("value", "nanos"),
    [
        (0, 0),
        ("0", 0),
        ("-0", 0),
        (Decimal("-0.0"), 0),
        (-0.0, 0),
        (1, 1_000_000_000),
        ("0.05", 50_000_000),
        (Decimal("0.000000001"), 1),
        (" 1.5\n", 1_500_000_000),
        ("1e-3", 1_000_000),
        ("1E+3", 1_000_000_000_000),
        (MAX_USD, MAX_NANOS),
        (10**9, MAX_NANOS),
        (1e9, MAX_NANOS),
    ],
)
def test_amounts_are_exact(value: Any, nanos: int) -> None:
    assert to_nanos(value) == nanos


@pytest.mark.parametrize(
    ("value", "nanos"),
    [
        (0.1, 100_000_000),
        (0.1 + 0.2, 300_000_000),
        (2.675, 2_675_000_000),
        (1e-9, 1),
        (1e-7, 100),
        (123.456, 123456 * 10**6),
    ],
)
def test_a_float_is_taken_by_its_shortest_text(value: float, nanos: int) -> None:
    assert to_nanos(value) == nanos


@pytest.mark.parametrize(
    ("value", "nanos"),
    [
        ("0.0000000015", 2),
        ("0.0000000025", 2),
        ("0.00000000250000000000000000001", 3),
        ("0.0000000014999999999999999999", 1),
        ("1.0000000005", 1_000_000_000),
    ],
)
def test_digits_past_the_ninth_are_rounded_half_to_even(value: str, nanos: int) -> None:
    assert to_nanos(value) == nanos
    assert to_nanos(f"-{value}", signed=True) == -nanos


@pytest.mark.parametrize("value", ["1e-10", "0.0000000005", 5e-324, Decimal("1e-999999"), "1e-999999999"])
def test_an_amount_that_is_not_zero_never_becomes_zero(value: Any) -> None:
    assert to_nanos(value) == 1
    assert to_nanos(f"-{value}", signed=True) == -1


@pytest.mark.parametrize("value", [-1, "-0.01", Decimal("-1e-12"), -0.1])
def test_a_negative_amount_is_refused_unless_it_may_be(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^cost must not be negative, got .*-"):
        to_nanos(value, "cost")

    assert to_nanos(value, signed=True) < 0


@pytest.mark.parametrize(
    "value",
    [
        "NaN",
        "nan",
        "sNaN",
        "-NaN",
        "inf",
        "-Infinity",
        float("nan"),
        float("inf"),
        float("-inf"),
        Decimal("NaN"),
        Decimal("sNaN"),
    ],
)
@pytest.mark.parametrize("signed", [True, False])
def test_an_amount_is_finite(value: Any, *, signed: bool) -> None:
    with pytest.raises(ValueError, match=r"^amount must be a finite amount of USD, not .*(?i:nan|inf)"):
        to_nanos(value, signed=signed)


@pytest.mark.parametrize(
    "value",
    [
        1e308,
        "1e308",
        Decimal("1e400"),
        "1e400",
        "1e999999999",
        Decimal("1000000000.000000001"),
        "1000000000.0000000000000000000000000000000000000000001",
        10**9 + 1,
        "9" * 5000,
    ],
)
def test_an_amount_is_at_most_a_billion(value: Any) -> None:
    with pytest.raises(ValueError, match=r"^amount must be at most 1,000,000,000 USD, got ") as caught:
        to_nanos(value)

    assert len(str(caught.value)) < 150


def test_an_amount_far_below_zero_is_refused_too() -> None:
    for value in (Decimal("-1e999999999"), -(10**400), "-1000000001"):
        with pytest.raises(ValueError, match="must be at most 1,000,000,000 USD"):
            to_nanos(value, signed=True)


def test_a_huge_integer_is_named_by_its_size() -> None:
    with pytest.raises(ValueError, match=r"^amount must be at most 1,000,000,000 USD, got an integer of 33220 bits\.$"):
        to_nanos(10**10_000)


@pytest.mark.parametrize("value", [True, False, None, b"1", [1], (0, (1,), 0), {"usd": 1}, 1j, object()])
def test_what_is_no_number_is_a_type_error(value: Any) -> None:
    kind = type(value).__name__
    with pytest.raises(TypeError, match=rf"^cost must be a Decimal, str, int or float in USD, not {kind}: "):
        to_nanos(value, "cost")


@pytest.mark.parametrize(
    "value", ["", " ", "ten", "1_000", "1,000", "$5", "0x10", "1.2.3", "1e", "--1", "5 USD", "x" * 500]
)
def test_text_that_is_no_number_is_refused_and_named(value: str) -> None:
    with pytest.raises(ValueError, match=r"^amount must be an amount of USD such as '0\.05', not '") as caught:
        to_nanos(value)

    assert repr(value)[:77] in str(caught.value)
    assert len(str(caught.value)) < 150


def test_the_callers_decimal_context_changes_nothing() -> None:
    with localcontext(prec=3):
        assert to_nanos("123456789.123456789") == 123456789123456789
        assert to_usd(123456789123456789) == Decimal("123456789.123456789")


@pytest.mark.parametrize(
    ("nanos", "text"),
    [
        (0, "0"),
        (1, "0.000000001"),
        (-1, "-0.000000001"),
        (100_000_000, "0.1"),
        (10_000_000_000, "10"),
        (-1_500_000_000, "-1.5"),
        (MAX_NANOS, "1000000000"),
    ],
)
def test_dollars_have_no_trailing_zeros_and_no_exponent(nanos: int, text: str) -> None:
    assert f"{to_usd(nanos):f}" == text


@given(NANOS)
@example(MAX_NANOS)
@example(-1)
def test_nanos_survive_the_way_out_and_back(nanos: int) -> None:
    usd = to_usd(nanos)

    assert to_nanos(usd, signed=True) == nanos
    assert to_nanos(str(usd), signed=True) == nanos
    assert to_nanos(f"{usd:f}", signed=True) == nanos
    assert Fraction(usd) == Fraction(nanos, NANOS_PER_USD)


@given(st.decimals(min_value=-MAX_USD, max_value=MAX_USD, allow_nan=False, places=20))
def test_rounding_is_that_of_fractions(usd: Decimal) -> None:
    with localcontext(prec=60):
        expected = int((usd * NANOS_PER_USD).to_integral_value(ROUND_HALF_EVEN))
    assert expected == round(Fraction(usd) * NANOS_PER_USD)

    nanos = to_nanos(usd, signed=True)

    assert nanos == (expected or (usd > 0) - (usd < 0))


@given(st.floats(min_value=0, max_value=1e9))
def test_a_float_and_its_text_are_the_same_amount(usd: float) -> None:
    assert to_nanos(usd) == to_nanos(repr(usd))


@given(NANOS, NANOS)
def test_sums_of_dollars_are_sums_of_nanos(one: int, other: int) -> None:
    assert to_usd(one) + to_usd(other) == to_usd(one + other)
