"""
Nano-USD and ``Decimal``: the two forms that money has here, and the only place that turns one into the other.

Inside, money is an ``int`` of nano-dollars (1e-9 USD). At the edges it is a ``Decimal`` in USD.
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, InvalidOperation
from typing import Final

__all__ = ["MAX_USD", "NANOS_PER_USD", "Amount", "plain_text", "to_nanos", "to_usd"]

NANOS_PER_USD: Final = 1_000_000_000
MAX_USD: Final = Decimal(1_000_000_000)
_SHOWN: Final = 80  # characters of a bad value in a message
#: Has room for every digit of an amount, whatever the caller's own context is set to.
_EXACT: Final = Context(prec=60, rounding=ROUND_HALF_EVEN, traps=[InvalidOperation])

Amount = Decimal | str | int | float


def to_nanos(value: Amount, name: str = "amount", *, signed: bool = False) -> int:
    """
    Return an amount of USD as nano-USD.

    A float is taken by its shortest text, so ``0.1`` is ten cents. Digits past the ninth are rounded to the
    nearest nano-dollar, ties to even; an amount that is not zero never becomes zero by rounding.
    Raise TypeError for what is no number, ValueError for NaN, infinity, more than 1,000,000,000 USD and,
    unless ``signed``, for negative amounts. Nothing is clamped.
    """
    usd = _decimal(value, name)
    if not usd.is_finite():
        raise ValueError(f"{name} must be a finite amount of USD, not {value!r}.")
    if usd < 0 and not signed:
        raise ValueError(f"{name} must not be negative, got {value!r}.")
    if usd.copy_abs() > MAX_USD:
        raise ValueError(f"{name} must be at most {MAX_USD:,} USD, got {_short(value)}.")
    nanos = int(_EXACT.to_integral_value(_EXACT.multiply(usd, NANOS_PER_USD)))
    if nanos == 0 and usd:
        return 1 if usd > 0 else -1
    return nanos


def to_usd(nanos: int) -> Decimal:
    """
    Return nano-USD as an exact Decimal in USD, without trailing zeros.

    Print it with ``f"{usd:f}"``: ``str`` writes amounts below a micro-dollar with an exponent.
    """
    dollars, rest = divmod(abs(nanos), NANOS_PER_USD)
    text = f"{dollars}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(dollars)
    return Decimal(f"-{text}" if nanos < 0 else text)


def _decimal(value: Amount, name: str) -> Decimal:
    if isinstance(value, bool) or not isinstance(value, (Decimal, str, int, float)):
        raise TypeError(
            f"{name} must be a Decimal, str, int or float in USD, not {type(value).__name__}: {_short(value)}."
        )
    if isinstance(value, Decimal):
        return value
    if isinstance(value, int) and abs(value) > MAX_USD:
        raise ValueError(f"{name} must be at most {MAX_USD:,} USD, got an integer of {value.bit_length()} bits.")
    text = plain_text(value)
    if "_" in text:
        raise ValueError(f"{name} must be an amount of USD such as '0.05', not {_short(value)}.")
    try:
        return Decimal(text)
    except InvalidOperation:
        raise ValueError(f"{name} must be an amount of USD such as '0.05', not {_short(value)}.") from None


def plain_text(value: str | float) -> str:
    """Return a value as it is written; a float as the shortest decimal that means it, whatever its subclass shows."""
    return repr(float(value)) if isinstance(value, float) else str(value)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."
