"""References that are read aloud, written down and typed by people."""

from __future__ import annotations

import re
from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coreason_budget.refusals.references import SHAPE, new_reference, read_reference

SIGNS = "0123456789CFHJKMNPRTVWX"
bodies = st.text(SIGNS, min_size=8, max_size=8)


def made(body: str) -> str:
    """Return the reference that begins with these signs."""
    (found,) = [reference for sign in SIGNS if (reference := read_reference(body + sign))]
    return found


def test_a_reference_is_three_groups_of_signs_that_cannot_be_confused() -> None:
    references = {new_reference() for _ in range(1_000)}

    assert len(references) == 1_000
    assert all(re.fullmatch(rf"(?:[{SIGNS}]{{3}}-){{2}}[{SIGNS}]{{3}}", reference) for reference in references)
    assert all(read_reference(reference) == reference for reference in references)
    assert read_reference(SHAPE) == SHAPE


@pytest.mark.parametrize(
    "typed",
    [
        "3kf-90t-vx1",
        "3KF90TVX1",
        " 3kf 90t vx1 ",
        "3KF\N{EN DASH}9OT\N{EM DASH}UX1",
        "3kf.9ot.yxl",
        "3KF-9DT-VXI",
        "3KF-9QT-UX1",
    ],
)
def test_it_is_found_however_it_is_typed(typed: str) -> None:
    assert read_reference(typed) == "3KF-90T-VX1"


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "3KF-90T-VX",
        "3KF-90T-VX11",
        "3KF-90T-VX3",
        "3KF-90A-VX1",
        "' OR 1=1",
        "\N{FULLWIDTH DIGIT THREE}KF-90T-VX1",
        "\N{LATIN SMALL LETTER E WITH ACUTE}" * 9,
    ],
)
def test_what_is_none_is_told(typed: str) -> None:
    assert read_reference(typed) is None


@given(bodies, st.integers(0, 8), st.sampled_from(SIGNS))
def test_one_wrong_sign_is_found_out(body: str, place: int, sign: str) -> None:
    reference = made(body)
    signs = reference.replace("-", "")

    typed = signs[:place] + sign + signs[place + 1 :]

    assert read_reference(typed) == (reference if typed == signs else None)


@given(bodies)
def test_two_signs_that_changed_places_are_found_out(body: str) -> None:
    signs = made(body).replace("-", "")

    for one, other in combinations(range(9), 2):
        typed = list(signs)
        typed[one], typed[other] = typed[other], typed[one]
        assert (read_reference("".join(typed)) is None) == (signs[one] != signs[other])
