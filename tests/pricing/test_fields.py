"""Fields of objects are found wherever pydantic, dataclasses and plain classes keep them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, PrivateAttr

from coreason_budget.pricing.fields import look_up


class Model(BaseModel):
    model_config = ConfigDict(extra="allow")

    stored: int = 1
    nothing: int | None = None
    _private: int = PrivateAttr(default=3)

    @property
    def made(self) -> int:
        return 4


class Answering(BaseModel):
    """As some SDKs do it for fields that come later."""

    def __getattr__(self, name: str) -> Any:
        if name == "answered":
            return 5
        raise AttributeError(name)


@pytest.mark.parametrize(
    ("holder", "name", "value"),
    [
        (Model(), "stored", 1),
        (Model.model_validate({"extra": 2}), "extra", 2),
        (Model(), "_private", 3),
        (Model(), "made", 4),
        (Answering(), "answered", 5),
        (SimpleNamespace(plain=6), "plain", 6),
        ({"key": 7}, "key", 7),
        (Model(), "nothing", None),
        (Model(), "absent", None),
        (Answering(), "absent", None),
        (None, "absent", None),
    ],
)
def test_a_field_is_found_wherever_it_is_kept(holder: object, name: str, value: object) -> None:
    for _ in range(2):  # what is known of a class is kept
        assert look_up(holder, name) == value


def test_the_first_field_that_is_there_counts() -> None:
    assert look_up(Model(), "absent", "nothing", "made", "stored") == 4
