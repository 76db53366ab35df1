"""The suite sees deliberate faults: a few are hunted here, all by ``python -m tests.mutants``."""

from __future__ import annotations

from collections import Counter
from typing import Final

import pytest

from .faults import FAULTS, Fault
from .hunt import StaleFaultError, Verdict, faulty_text, hunt

#: Each is seen within a second or two, each by another promise.
QUICK: Final = {
    "a hold released twice",
    "a late charge without a refund",
    "a rebuild after a verdict",
    "a rebuild without a watermark",
    "a refusal that increments",
    "no doubt",
    "what is held does not count",
}


@pytest.mark.once
@pytest.mark.parametrize("fault", [fault for fault in FAULTS if fault.name in QUICK], ids=str)
@pytest.mark.timeout(300)
def test_a_fault_is_caught(fault: Fault) -> None:
    catch = hunt(fault, cases=60)

    assert (catch.verdict, catch.by[-1:]) == (Verdict.CAUGHT, ")"), catch


@pytest.mark.parametrize("fault", FAULTS, ids=str)
def test_every_fault_can_still_be_put_in(fault: Fault) -> None:
    assert fault.instead in faulty_text(fault)


@pytest.mark.once
def test_a_copy_that_cannot_run_is_no_catch() -> None:
    broken = Fault("no Python", "steps.py", "T = TypeVar", "T == TypeVar)")

    assert hunt(broken, cases=1).verdict is Verdict.BROKEN


@pytest.mark.once
def test_nothing_is_caught_where_there_is_no_fault() -> None:
    assert hunt(None, cases=1).verdict is Verdict.MISSED


def test_a_fault_whose_text_is_gone_is_an_error() -> None:
    with pytest.raises(StaleFaultError, match="has this 0 times"):
        faulty_text(Fault("stale", "redis.py", "a text that nobody wrote", ""))


def test_every_fault_has_a_name_of_its_own() -> None:
    assert Counter(fault.name for fault in FAULTS).most_common(1)[0][1] == 1
    assert {fault.name for fault in FAULTS} >= QUICK
