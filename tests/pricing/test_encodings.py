"""Produced texts are counted as the model's own encoding counts them, where that is on this machine."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest
import tiktoken

from coreason_budget.pricing import count_output
from coreason_budget.pricing.encodings import _o200k
from coreason_budget.pricing.litellm_prices import load_litellm

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

# litellm's own classes make pydantic warn at first use.
pytestmark = pytest.mark.filterwarnings("ignore:Items? .* on TypedDict class:UserWarning")

TEXT = (
    "The quick brown fox doesn't jump. Zwölf Boxkämpfer jagen Viktor. 敏捷的棕色狐狸。 x = {'a': 1}\n\n\t  def f(x):\n"
    "    return x  # 3.14159 //\n/path/of/a file\r\n"
)


@pytest.fixture
def no_o200k(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As with a litellm whose package has no file of o200k; a download would raise."""
    load_litellm()
    count_output("gpt-4", "")  # cl100k is loaded by then
    monkeypatch.setenv("TIKTOKEN_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("tiktoken.load.read_file", lambda path: pytest.fail(f"asked for {path}"))
    _o200k.cache_clear()
    yield
    _o200k.cache_clear()


@pytest.mark.parametrize(
    ("model", "encoding"),
    [
        ("gpt-4", "cl100k_base"),
        ("openai/gpt-3.5-turbo", "cl100k_base"),
        ("gpt-4o", "o200k_base"),
        ("azure/gpt-4o-2024-08-06", "o200k_base"),
        ("ft:gpt-4o-2024-08-06:org::id", "o200k_base"),
        ("gpt-4.1-mini", "o200k_base"),
    ],
)
@pytest.mark.parametrize("times", [0, 1, 300])
def test_texts_of_openais_models_are_counted_exactly(model: str, encoding: str, times: int) -> None:
    load_litellm()
    words = (TEXT * times).split(" ")
    random.Random(times).shuffle(words)
    text = " ".join(words)
    assert count_output(model, text) == len(tiktoken.get_encoding(encoding).encode_ordinary(text))


@pytest.mark.parametrize(("model", "text", "tokens"), [("claude-sonnet-4-5", "hello world", 4), ("gemini/x", "a", 1)])
def test_other_models_are_counted_from_above(model: str, text: str, tokens: int) -> None:
    assert count_output(model, text) == tokens


@pytest.mark.usefixtures("no_o200k")
def test_an_encoding_that_is_not_here_is_counted_from_above_and_not_fetched() -> None:
    assert count_output("gpt-4o", "hello world") == 3


@pytest.mark.usefixtures("no_o200k")
def test_a_damaged_file_of_an_encoding_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "fb374d419588a4632f3f557e76b4b70aebbca790").write_bytes(b"IQ== 0\n")
    assert count_output("gpt-4o", "hello world") == 3


@pytest.mark.parametrize("text", ["a" * 20_000, "敏捷" * 5_000, " " * 20_000, "a b" * 9_000])
def test_a_text_without_a_place_to_cut_is_never_counted_too_low(text: str) -> None:
    exact = len(tiktoken.get_encoding("o200k_base").encode_ordinary(text))
    assert exact <= count_output("gpt-4o", text) <= exact + 20


@pytest.mark.parametrize("arguments", [("gpt-4", b"text"), ("gpt-4", None), (None, "text")])
def test_what_is_no_text_is_refused(arguments: Any) -> None:
    with pytest.raises(TypeError, match="must be a str"):
        count_output(*arguments)
