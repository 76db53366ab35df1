"""
References of refused calls: nine signs that a person reads to an administrator, ``3KF-90T-VX1``.

No sign looks like another and no vowels make words. The last sign proves the others: one that was misheard, or two that
changed places, are found out instead of being looked for in vain.
"""

from __future__ import annotations

from secrets import choice
from typing import Final

__all__ = ["SHAPE", "new_reference", "read_reference"]

#: How a reference looks, for whoever types one.
SHAPE: Final = "3KF-90T-VX1"

#: 23 of them, a prime, so that every sign counts differently in the proof.
_SIGNS: Final = "0123456789CFHJKMNPRTVWX"
_RANDOM: Final = 8  # 36 bits
_GROUP: Final = 3

#: What is taken for a sign by those who write by hand.
_TAKEN_FOR: Final = str.maketrans("OQDILZSGBUY", "000112568VV")


def new_reference() -> str:
    """Return a reference that nobody can guess."""
    signs = [choice(_SIGNS) for _ in range(_RANDOM)]
    return _grouped("".join(signs) + _proof(signs))


def read_reference(text: str) -> str | None:
    """
    Return the reference that somebody typed, as it was given out, None if it cannot be one.

    Case, spaces and dashes do not matter, and what looks like a sign is taken for it.
    """
    signs = "".join(filter(str.isalnum, text)).upper().translate(_TAKEN_FOR)
    if len(signs) != _RANDOM + 1 or set(signs) - set(_SIGNS) or _proof(signs[:-1]) != signs[-1]:
        return None
    return _grouped(signs)


def _proof(signs: list[str] | str) -> str:
    return _SIGNS[sum(place * _SIGNS.index(sign) for place, sign in enumerate(signs, 1)) % len(_SIGNS)]


def _grouped(signs: str) -> str:
    return "-".join(signs[at : at + _GROUP] for at in range(0, len(signs), _GROUP))
