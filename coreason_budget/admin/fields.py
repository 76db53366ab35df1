"""``UsdField``: amounts of money in forms, exact, shown without trailing zeros, refused by name."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, Final, NoReturn

from django import forms
from django.core.exceptions import ValidationError
from django.db import models
from django.utils.translation import gettext_lazy as _

from ..money import MAX_USD
from . import words

__all__ = ["AMOUNT_FIELDS", "UsdField"]

_SHOWN: Final = 40


class UsdInput(forms.TextInput):
    """
    A text input with a keypad of numbers.

    Not ``type="number"``: there a turn of the mouse wheel changes a limit, and browsers show 1e-9.
    """

    def __init__(self, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"inputmode": "decimal", "autocomplete": "off", "size": "20", **(attrs or {})})


class UsdField(forms.DecimalField):
    """
    An amount of USD from 0 to the largest that the ledger can count, by default to nine decimals.

    Nothing is rounded. Messages name the value that they refuse.
    """

    widget = UsdInput
    default_error_messages = {  # noqa: RUF012 - so declared by Django
        "invalid": _("“%(value)s” is not an amount. Write it with digits and a point, such as 0.05."),
        "negative": _("“%(value)s” is negative. An amount is 0 or more."),
        "too_large": _("“%(value)s” is too much. An amount is at most %(most)s."),
        "too_exact": _("“%(value)s” has more than %(places)s decimal places."),
    }

    def __init__(self, *, decimal_places: int | None = 9, **options: Any) -> None:
        self.places = 9 if decimal_places is None else decimal_places
        super().__init__(**{**options, "max_digits": None, "decimal_places": None, "localize": False})

    def prepare_value(self, value: Any) -> Any:
        """Show an amount without trailing zeros, and what was typed as it was typed."""
        return _exact(value) if isinstance(value, Decimal) else value

    def to_python(self, value: Any) -> Decimal | None:  # type: ignore[override]  # as DecimalField does
        """Return the exact amount, None for an empty field. Raise ValidationError."""
        if value in self.empty_values:
            return None
        text = str(value).strip()
        try:
            if "_" in text:
                self._refuse("invalid", text)
            usd = super().to_python(text)
        except ValidationError:
            self._refuse("invalid", text)
        return None if usd is None else self._checked(usd, text)

    def validate(self, value: Any) -> None:
        """Refuse an empty field that must not be; all else is said by to_python()."""
        forms.Field.validate(self, value)

    def _checked(self, usd: Decimal, text: str) -> Decimal:
        if not usd.is_finite():
            self._refuse("invalid", text)
        if usd < 0:
            self._refuse("negative", text)
        if usd > MAX_USD:
            self._refuse("too_large", text)
        if not usd:
            return Decimal(0)  # however many zeros there are
        if usd.adjusted() < -self.places:
            self._refuse("too_exact", text)
        exact = _exact(usd)
        if len(exact.partition(".")[2]) > self.places:
            self._refuse("too_exact", text)
        return Decimal(exact)

    def _refuse(self, code: str, text: str) -> NoReturn:
        shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
        params = {"value": words.name(shown), "most": words.usd(MAX_USD), "places": self.places}
        raise ValidationError(self.error_messages[code], code=code, params=params)


#: For ``formfield_overrides`` of everything in the admin that has amounts.
AMOUNT_FIELDS: Final[dict[type[models.Field[Any, Any]], dict[str, Any]]] = {
    models.DecimalField: {"form_class": UsdField}
}


def _exact(usd: Decimal) -> str:
    text = f"{usd:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
