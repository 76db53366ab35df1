"""Values that cannot be meant are refused by name, and change nothing."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

from coreason_budget import ANONYMOUS
from coreason_budget.models import SpendRecord

from .tools import dump

if TYPE_CHECKING:
    from coreason_budget import BudgetManager
    from tests.conftest import Backend, Driver

pytestmark = pytest.mark.django_db(transaction=True)

Bad = list[tuple[Any, type[Exception]]]

AMOUNTS: Bad = [
    (-1, ValueError),
    ("-0.000000001", ValueError),
    (Decimal("NaN"), ValueError),
    (float("nan"), ValueError),
    (float("inf"), ValueError),
    ("-Infinity", ValueError),
    (1e308, ValueError),
    ("1000000000.000000001", ValueError),
    (10**400, ValueError),
    ("abc", ValueError),
    ("", ValueError),
    ("1_000", ValueError),
    (True, TypeError),
    ([], TypeError),
    (b"1", TypeError),
    (object(), TypeError),
]
IDS: Bad = [
    (None, TypeError),
    (True, TypeError),
    (1.5, TypeError),
    ([], TypeError),
    (b"ann", TypeError),
    ("", ValueError),
    ("   ", ValueError),
    ("x" * 300, ValueError),
    ("a\nb", ValueError),
    ("a\0", ValueError),
    ("\x1b[31m", ValueError),
    ("\ud800", ValueError),
    ("a\u2028b", ValueError),
]
CHARGE_IDS: Bad = [
    *[(value, error) for value, error in IDS if value is not None],
    (ANONYMOUS, ValueError),
    ("expired:x", ValueError),
    ("release:x", ValueError),
    ("x~refund", ValueError),
]
PROJECT_IDS: Bad = [*IDS[1:], (ANONYMOUS, ValueError)]
MODELS: Bad = [
    (5, TypeError),
    (b"gpt", TypeError),
    ([], TypeError),
    ("x" * 300, ValueError),
    ("a\nb", ValueError),
    ("  ", ValueError),
]
TTLS: Bad = [
    (0, ValueError),
    (-1, ValueError),
    (86_401, ValueError),
    (float("nan"), ValueError),
    (float("inf"), ValueError),
    (1e308, ValueError),
    ("60", TypeError),
    (True, TypeError),
    ([], TypeError),
    (Decimal(60), TypeError),
]

#: The name in the message, the bad values, and how to call with one.
CALLS: list[tuple[str, Bad, str, Any]] = [
    ("amount", AMOUNTS, "reserve", lambda value: (("ann", "apollo", value), {})),
    ("amount", AMOUNTS, "check", lambda value: (("ann", "apollo", value), {})),
    ("amount", [(None, TypeError)], "check", lambda value: (("ann", "apollo", value), {})),
    ("cost", AMOUNTS, "charge", lambda value: (("ann", value), {})),
    ("cost", [(None, TypeError)], "charge", lambda value: (("ann", value), {})),
    ("charge_id", CHARGE_IDS, "charge", lambda value: (("ann", 1), {"charge_id": value})),
    ("model", MODELS, "charge", lambda value: (("ann", 1), {"model": value})),
    ("ttl", TTLS, "reserve", lambda value: (("ann",), {"ttl": value})),
    *[("user_id", IDS, name, lambda value: ((value,), {})) for name in ("reserve", "check", "status")],
    ("user_id", IDS, "charge", lambda value: ((value, 1), {})),
    *[
        ("project_id", PROJECT_IDS, name, lambda value: (("ann",), {"project_id": value}))
        for name in ("reserve", "check", "status")
    ],
    ("project_id", PROJECT_IDS, "charge", lambda value: (("ann", 1, value), {})),
]
ON_A_HOLD: list[tuple[str, Bad, str, Any]] = [
    ("cost", AMOUNTS, "charge", lambda value: {"cost": value}),
    ("charge_id", CHARGE_IDS, "charge", lambda value: {"cost": 1, "charge_id": value}),
    ("model", MODELS, "charge", lambda value: {"cost": 1, "model": value}),
    ("ttl", TTLS, "extend", lambda value: {"ttl": value}),
]


@pytest.mark.parametrize(("name", "values", "operation", "call"), CALLS)
def test_a_bad_value_is_named_and_changes_nothing(
    driver: Driver, budget: BudgetManager, backend: Backend, name: str, values: Any, operation: str, call: Any
) -> None:
    driver(budget, "reserve", "ann", "apollo", amount="0.5")
    before = dump(backend)

    for value, error in values:
        args, kwargs = call(value)
        with pytest.raises(error, match=rf"^{name} "):
            driver(budget, operation, *args, **kwargs)

    assert dump(backend) == before
    assert SpendRecord.objects.count() == 0


@pytest.mark.parametrize(("name", "values", "operation", "call"), ON_A_HOLD)
def test_a_bad_value_on_a_hold_is_named_and_changes_nothing(
    driver: Driver, budget: BudgetManager, backend: Backend, name: str, values: Any, operation: str, call: Any
) -> None:
    hold = driver(budget, "reserve", "ann", "apollo", amount="0.5")
    before = dump(backend)

    for value, error in values:
        with pytest.raises(error, match=rf"^{name} "):
            driver(hold, operation, **call(value))

    assert dump(backend) == before
    assert SpendRecord.objects.count() == 0


def test_the_message_shows_the_value(driver: Driver, budget: BudgetManager) -> None:
    with pytest.raises(ValueError, match=r"^cost must not be negative, got -1\.$"):
        driver(budget, "charge", "ann", -1)
    with pytest.raises(ValueError, match="'expired:x' is reserved"):
        driver(budget, "charge", "ann", 1, charge_id="expired:x")
    with pytest.raises(TypeError, match="ttl must be a number of seconds, not str: '60'"):
        driver(budget, "reserve", "ann", ttl="60")


@pytest.mark.parametrize(
    ("kwargs", "message"),
    [
        ({}, "Pass the response of the call, or cost="),
        ({"cost": None}, "Pass the response of the call, or cost="),
        ({"response": {"usage": {}}, "cost": 1}, "either a response or cost"),
    ],
)
def test_a_charge_on_a_hold_needs_a_response_or_a_cost(
    driver: Driver, budget: BudgetManager, backend: Backend, kwargs: dict[str, Any], message: str
) -> None:
    hold = driver(budget, "reserve", "ann", amount="0.5")
    before = dump(backend)

    with pytest.raises(ValueError, match=message):
        driver(hold, "charge", **kwargs)

    assert dump(backend) == before


def test_a_reservation_refuses_bad_values_where_it_is_written(budget: BudgetManager) -> None:
    with pytest.raises(ValueError, match=r"^amount must not be negative"):
        budget.reservation("ann", amount=-1)
    with pytest.raises(TypeError, match=r"^user_id must be"):
        budget.reservation(None)
