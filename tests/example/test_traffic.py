from __future__ import annotations

import re
from typing import TYPE_CHECKING

import pytest

from example_project.chat.calls import Call
from example_project.chat.roster import Roster, deal
from example_project.chat.traffic import Tokens, TraceError, generate, read_trace

if TYPE_CHECKING:
    from pathlib import Path

ROSTER = Roster({"1": "alice", "2": "bob"}, ("support",))


def write_trace(folder: Path, *rows: str, header: str = "TIMESTAMP,ContextTokens,GeneratedTokens") -> Path:
    path = folder / "trace.csv"
    path.write_text("\n".join([header, *rows, ""]), "utf-8")
    return path


def test_a_trace_gives_its_token_counts_in_order(tmp_path):
    path = write_trace(tmp_path, "2023-11-16 18:15:46.6805900,374,44", "2023-11-16 18:15:50.9951690,396,109", "x,1,2")
    assert read_trace(path, 2) == [Tokens(374, 44), Tokens(396, 109)]


def test_a_trace_that_is_too_short_begins_again(tmp_path):
    assert read_trace(write_trace(tmp_path, "t,5,6", "t,7,8"), 3) == [Tokens(5, 6), Tokens(7, 8), Tokens(5, 6)]


@pytest.mark.parametrize("value", ["", "-3", "0", "4.5", "many", "٣"])
def test_a_count_that_is_none_is_refused_with_its_line(tmp_path, value):
    with pytest.raises(TraceError, match=re.escape("trace.csv, line 3: GeneratedTokens must be a whole number from 1")):
        read_trace(write_trace(tmp_path, "t,5,6", f"t,7,{value}"), 10)


def test_a_line_that_is_cut_short_is_refused(tmp_path):
    with pytest.raises(TraceError, match="line 2: GeneratedTokens"):
        read_trace(write_trace(tmp_path, "t,5"), 1)


def test_a_trace_without_its_columns_names_them(tmp_path):
    path = write_trace(tmp_path, "t,5", header="TIMESTAMP,ContextTokens")
    with pytest.raises(TraceError, match="no column GeneratedTokens"):
        read_trace(path, 1)


def test_a_trace_without_calls_is_refused(tmp_path):
    with pytest.raises(TraceError, match="no calls"):
        read_trace(write_trace(tmp_path), 1)


def test_a_trace_that_cannot_be_read_is_refused(tmp_path):
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path / "nowhere.csv", 1)
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(TraceError, match="cannot be read"):
        read_trace(tmp_path / "binary.csv", 1)


def test_the_same_seed_makes_the_same_traffic():
    assert generate(7, 50) == generate(7, 50)
    assert generate(7, 50) != generate(8, 50)
    assert generate(7, 50)[:20] == generate(7, 20)


def test_made_traffic_has_sizes_that_a_model_accepts():
    sizes = generate(1, 2000)
    assert all(1 <= size.prompt <= 14_000 and 1 <= size.answer <= 1024 for size in sizes)


def test_the_same_seed_deals_the_same_calls():
    sizes = generate(7, 50)
    assert deal(ROSTER, sizes, 3) == deal(ROSTER, sizes, 3)
    assert [call.tokens for call in deal(ROSTER, sizes, 4)] == sizes


@pytest.mark.parametrize(("answer", "maximum"), [(1, 64), (64, 64), (65, 128), (992, 1024), (1024, 1024)])
def test_a_call_asks_for_at_least_what_it_will_get(answer, maximum):
    assert Call("1", "support", "gpt-4o", Tokens(1, answer)).max_tokens == maximum
