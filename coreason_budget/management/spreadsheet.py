"""``harmless``: text for the cell of a CSV file, which a spreadsheet takes for text."""

from __future__ import annotations

from typing import Final

__all__ = ["harmless"]

#: What begins a formula in a spreadsheet, in both widths of characters.
_FORMULA: Final = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def harmless(text: str) -> str:
    """Return text that no spreadsheet takes for a formula: what could be one gets an apostrophe in front."""
    could_be_one = text.lstrip().startswith(_FORMULA) or text.startswith(("\t", "\r", "\n"))
    return f"'{text}" if could_be_one else text
