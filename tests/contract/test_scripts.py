"""The scripts as values: keys that share a slot, and replies that are read exactly."""

from __future__ import annotations

import re
from dataclasses import replace
from importlib.resources import files

import pytest
from hypothesis import given
from hypothesis import strategies as st
from redis import Connection
from redis.crc import key_slot

from coreason_budget.ledger.scripts import (
    Charge,
    Keys,
    journal_number,
    journal_text,
    overrides_args,
    parse_accounts,
    parse_answer,
    parse_entry,
    parts_of,
    script,
)
from coreason_budget.ledger.wires import packed
from coreason_budget.periods import Period
from coreason_budget.scopes import Scope, Subject, clean_id, subjects_of

LUA = sorted(path.name.removesuffix(".lua") for path in (files("coreason_budget.ledger") / "lua").iterdir())


def _is_id(text: str) -> bool:
    try:
        return clean_id(text, "id") == text
    except ValueError:
        return False


ids = st.text(min_size=1, max_size=30).filter(_is_id)


@pytest.mark.parametrize("name", [name for name in LUA if name != "prelude"])
def test_every_script_opens_with_its_contract(name: str) -> None:
    lines = (files("coreason_budget.ledger") / "lua" / f"{name}.lua").read_text("utf-8").splitlines()
    contract = "\n".join(lines[: next(i for i, line in enumerate(lines) if not line.startswith("--"))])

    assert "-- KEYS " in contract
    assert "-- ARGV " in contract
    assert "-- reply " in contract


@pytest.mark.parametrize("name", [name for name in LUA if name != "prelude"])
def test_every_script_names_all_keys_it_touches(name: str) -> None:
    """A cluster refuses a key that a script makes up."""
    source = script(name).source

    assert not re.findall(r"redis\.p?call\('[A-Z]+', *['\"]", source.replace("'INFO', 'server'", ""))
    assert len(script(name).sha) == 40
    assert script(name) is script(name)


@given(prefix=st.sampled_from(["coreason-budget", "a:b", "é 🦊"]), user=ids, project=ids)
def test_all_keys_of_an_installation_share_a_slot(prefix: str, user: str, project: str) -> None:
    keys = Keys(prefix)
    names = [keys.journal, keys.deadlines, keys.hold(user), keys.charge(project), keys.learned("03ab")]
    names += [keys.refusals, keys.refusal_times, keys.refusal_counts, keys.refusal_batch("ab")]
    names += [keys.unknown_models, keys.unknown_model_times]
    names += keys.accounts(subjects_of(user, project))

    assert {key_slot(name.encode()) for name in names} == {key_slot(prefix.encode())}
    assert len(set(names)) == len(names)


@given(st.lists(ids, min_size=2, max_size=2, unique=True))
def test_no_two_subjects_share_a_key(pair: list[str]) -> None:
    subjects = [Subject(scope, name) for name in pair for scope in (Scope.USER, Scope.PROJECT)]

    keys = [Keys("p").account(subject) for subject in [*subjects, Subject(Scope.USER), Subject(Scope.GLOBAL)]]

    assert len(set(keys)) == 6
    assert all(re.fullmatch(r"\{p\}:a:(user|project|global):[\w.~%-]*", key, re.ASCII) for key in keys)


@given(ms=st.integers(0, 2**42), sequence=st.integers(0, 2**20 - 1), later=st.integers(0, 2**20 - 1))
def test_journal_numbers_sort_as_the_journal_does(ms: int, sequence: int, later: int) -> None:
    number = journal_number(f"{ms}-{sequence}")

    assert journal_text(number) == f"{ms}-{sequence}"
    assert 0 <= number < 2**63
    assert (number < journal_number(f"{ms}-{later}")) == (sequence < later)
    assert number < journal_number(f"{ms + 1}-0")


@given(
    user=ids,
    project=st.one_of(st.just(""), ids),
    model=st.one_of(st.just(""), ids),
    cost=st.integers(-(10**18), 10**18),
    tokens=st.one_of(st.none(), st.integers(0, 10**9)),
)
def test_a_charge_survives_the_journal(user: str, project: str, model: str, cost: int, tokens: int | None) -> None:
    charge = Charge("c", cost, user, project, model, "charge", "h", tokens, tokens, {"why": [1, "é"]})
    entry = ["c", "c", "n", str(cost), "k", "charge", "t", "5", "h", "h", "p", charge.payload()]

    booking = parse_entry("5-1", entry)

    assert (booking.charge, booking.journal_id, booking.at) == (charge, "5-1", 5)
    assert parse_entry("5-1", dict(zip(entry[::2], entry[1::2], strict=True))) == booking


def test_a_refund_in_the_journal_has_no_tokens_of_its_own() -> None:
    charge = Charge("c~refund", -5, "ann", "", kind="refund", input_tokens=3, output_tokens=4)
    entry = ["c", "c~refund", "n", "-5", "k", "refund", "t", "5", "h", "", "p", charge.payload()]

    assert parse_entry("5-1", entry).charge == replace(charge, input_tokens=None, output_tokens=None)


@pytest.mark.parametrize(
    "broken", [{"p": "{"}, {"p": "{}"}, {"n": "x"}, {"n": ""}, {"t": ""}, {"p": '{"u":"a","p":"b"}'}]
)
def test_a_broken_entry_is_an_error_that_the_journal_expects(broken: dict[str, str]) -> None:
    entry = {"c": "c", "n": "1", "k": "charge", "t": "1", "h": "", "p": Charge("c", 1, "ann", "").payload()}

    with pytest.raises((KeyError, ValueError, TypeError)):
        parse_entry("5-1", entry | broken)


def test_overrides_tell_unlimited_from_none_and_from_zero() -> None:
    assert overrides_args({Period.DAY: None, Period.WEEK: 0}) == ["u", "0", ""]


def test_accounts_are_read_as_the_scripts_show_them() -> None:
    (view,) = parse_accounts(["1 70 7 5 d:2030-03-13:9007199254740993:u::1 m:2030-03-01:-1:10:50+80:0"])

    assert (view.open, view.held) == (True, 72)
    assert [
        (period.period, period.window, period.spent, period.limit, period.crossed, period.verified)
        for period in view.periods
    ] == [
        (Period.DAY, "2030-03-13", 9007199254740993, None, (), True),
        (Period.MONTH, "2030-03-01", -1, 10, (50, 80), False),
    ]


def test_a_script_is_given_only_what_it_uses_of_the_prelude() -> None:
    assert "local function show(" in script("charge").source
    assert "local function show(" not in script("ack").source
    assert "local function run_id(" not in script("ack").source
    assert "local function split(" in script("ack").source


@pytest.mark.parametrize("reply", ["stale\n1\n", b"stale\n1\n"])
def test_a_reply_is_one_text_whose_lines_are_its_parts(reply: str | bytes) -> None:
    assert parts_of(reply) == ["stale", "1", ""]
    assert script("reserve").source.endswith("return table.concat(parts(), '\\n')\n")


@pytest.mark.parametrize(
    "args", [("PING",), ("EVALSHA", "é 🦊", 0, -5, "", "a b\r\n$1"), ("SET", b"\xff\x00", 2**63, "x" * 70_000)]
)
def test_a_command_is_packed_as_the_driver_packs_it(args: tuple[object, ...]) -> None:
    assert packed(args) == b"".join(Connection().pack_command(*args))


def test_an_answer_is_read_as_the_charge_wrote_it() -> None:
    answer = parse_answer("5-1|7|30|5-0|20|1|1 0 0 0|0 1 0 0")

    assert (answer.journal_id, answer.at, answer.left, answer.refund_journal_id, answer.refunded) == (
        "5-1",
        7,
        30,
        "5-0",
        20,
    )
    assert answer.is_plain
    assert [(view.open, view.held) for view in answer.accounts] == [(True, 0), (False, 1)]
