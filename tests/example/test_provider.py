"""The chat asks a real model through litellm: here the provider is a small server in this process."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import cycle
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import pytest

from example_project.chat.assistant import MAX_TOKENS

from .places import EXAMPLE, environment

if TYPE_CHECKING:
    from collections.abc import Iterator

MESSAGES = [{"role": "user", "content": "Who pays?"}]
USAGE = {"prompt_tokens": 11, "completion_tokens": 7, "total_tokens": 18}
PIECES = ("You ", "pay", ".")


class Provider(ThreadingHTTPServer):
    """It speaks OpenAI's language, keeps what it was asked, and refuses, breaks off or goes on for ever if told so."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Answer)
        self.asked: list[dict[str, Any]] = []
        self.refuses = False
        self.breaks = False
        self.goes_on = False
        self.was_left = Event()


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Provider

    def log_message(self, *_: Any) -> None:
        pass

    def do_POST(self) -> None:
        call = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(call)
        if self.server.refuses:
            self._send(401, {"error": {"message": "no such key", "type": "invalid_request_error", "code": "no"}})
        elif call.get("stream"):
            with suppress(ConnectionError):
                self._stream()
                return
            self.server.was_left.set()
        else:
            message = {"role": "assistant", "content": "".join(PIECES)}
            choice = {"index": 0, "message": message, "finish_reason": "stop"}
            self._send(200, {**self._head("chat.completion"), "choices": [choice], "usage": USAGE})

    def _send(self, status: int, body: dict[str, Any]) -> None:
        content = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _stream(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for piece in cycle(PIECES) if self.server.goes_on else PIECES:
            self._event(choices=[{"index": 0, "delta": {"content": piece}, "finish_reason": None}])
            if self.server.breaks:
                self.close_connection = True
                return
        self._event(choices=[{"index": 0, "delta": {}, "finish_reason": "stop"}])
        self._event(choices=[], usage=USAGE)
        self._chunk(b"data: [DONE]\n\n")
        self._chunk(b"")

    def _event(self, **members: Any) -> None:
        self._chunk(f"data: {json.dumps({**self._head('chat.completion.chunk'), **members})}\n\n".encode())

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()

    def _head(self, kind: str) -> dict[str, Any]:
        return {"id": "1", "object": kind, "created": 1, "model": "gpt-4o-mini-2024-07-18"}


class Asker:
    """The process that asks, as one end of a conversation in JSON."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def __call__(self, how: str, pieces: int | None = None) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"how": how, "messages": MESSAGES, "pieces": pieces}), file=self._process.stdin, flush=True)
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told


@pytest.fixture(scope="module")
def server() -> Iterator[Provider]:
    with Provider() as made:
        Thread(target=made.serve_forever, daemon=True).start()
        yield made
        made.shutdown()


@pytest.fixture(scope="module")
def asker(server: Provider) -> Iterator[Asker]:
    base = f"http://127.0.0.1:{server.server_address[1]}/v1"
    with subprocess.Popen(
        [sys.executable, "-m", "tests.example.asker"],
        cwd=EXAMPLE.parent,
        env=environment(OPENAI_API_KEY="sk-test", OPENAI_BASE_URL=base, NO_PROXY="127.0.0.1"),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        yield Asker(process)
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def provider(server: Provider) -> Provider:
    server.asked.clear()
    server.refuses = server.breaks = server.goes_on = False
    return server


def tokens(told: dict[str, Any]) -> tuple[int, int]:
    ((model, prompt, answer),) = told["booked"]
    assert model == "gpt-4o-mini"
    return prompt, answer


def test_a_whole_answer_brings_its_usage(provider, asker):
    told = asker("complete")
    assert told["said"] == told["text"] == "You pay."
    assert tokens(told) == (11, 7)
    (call,) = provider.asked
    assert (call["model"], call["messages"], call["max_tokens"]) == ("gpt-4o-mini", MESSAGES, MAX_TOKENS)


def test_a_streamed_answer_brings_its_usage_with_the_last_chunk(provider, asker):
    told = asker("stream")
    assert told["said"] == list(PIECES)
    assert tokens(told) == (11, 7)
    (call,) = provider.asked
    assert (call["stream_options"], call["max_tokens"]) == ({"include_usage": True}, MAX_TOKENS)


def test_an_answer_that_nobody_heard_to_its_end_is_counted_here(provider, asker):
    told = asker("stream", pieces=1)
    assert told["said"] == ["You "]
    prompt, answer = tokens(told)
    assert prompt >= 3
    assert answer in {1, 2}


def test_a_provider_hears_that_nobody_listens_any_more(provider, asker):
    provider.goes_on = True
    assert asker("stream", pieces=1)["error"] is None
    assert provider.was_left.wait(20)


@pytest.mark.parametrize("how", ["stream", "complete"])
def test_a_provider_that_refuses_is_paid_nothing_and_its_words_are_not_repeated(provider, asker, how):
    provider.refuses = True
    told = asker(how)
    assert told["error"] == "The model did not answer. Nothing was charged. Please try again."
    assert told["booked"] == []


def test_a_provider_that_breaks_off_is_paid_for_what_came(provider, asker):
    provider.breaks = True
    told = asker("stream")
    assert told["error"] == "The model stopped in the middle of its answer. Only what it wrote is charged."
    assert told["text"] == "You "
    assert tokens(told)[1] in {1, 2}
