"""OpenAI chat completions."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .dialects import data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .books import Produced
    from .calls import Call, Piece

__all__ = ["Chat", "openai_refusal"]


class Chat:
    """``POST .../chat/completions``."""

    def produce(self, call: Call) -> None:
        call.finish()

    def whole(self, call: Call) -> Mapping[str, Any]:
        message: dict[str, Any] = {"role": "assistant", "content": call.text or None, "refusal": None}
        if call.tools:
            message["tool_calls"] = [_tool(place, name, call.arguments(place)) for place, name in call.tools]
        answer = _frame(call, "chat.completion")
        answer["choices"] = [
            {"index": index, "message": message, "logprobs": None, "finish_reason": _finish(call)}
            for index in range(call.choices)
        ]
        if call.answer.reports_usage:
            answer["usage"] = _usage(call.produced)
        return answer

    def opening(self, call: Call) -> Iterator[bytes]:
        yield from _deltas(call, {"role": "assistant", "content": "", "refusal": None})

    def piece(self, call: Call, piece: Piece) -> Iterator[bytes]:
        if piece.tool is None:
            yield from _deltas(call, {"content": piece.text})
            return
        if piece.opens:
            opened = _tool(piece.tool, call.answer.tools[piece.tool].name, "")
            yield from _deltas(call, {"tool_calls": [{"index": piece.tool, **opened}]})
        written = {"index": piece.tool, "function": {"arguments": piece.text}}
        yield from _deltas(call, {"tool_calls": [written]})

    def closing(self, call: Call) -> Iterator[bytes]:
        yield from _deltas(call, {}, _finish(call))
        options = call.body.get("stream_options") or {}
        if options.get("include_usage") and call.answer.reports_usage:
            yield data({**_frame(call, "chat.completion.chunk"), "choices": [], "usage": _usage(call.produced)})
        yield b"data: [DONE]\n\n"

    def failing(self, call: Call) -> Iterator[bytes]:
        yield data(self.refusal(500))

    def refusal(self, status: int) -> Mapping[str, Any]:
        return openai_refusal(status)


def openai_refusal(status: int) -> Mapping[str, Any]:
    """Return an error as OpenAI words it."""
    kind = {429: "rate_limit_error", 400: "invalid_request_error"}.get(status, "server_error")
    code = "rate_limit_exceeded" if status == 429 else None
    return {
        "error": {"message": f"The upstream was told to fail ({status}).", "type": kind, "param": None, "code": code}
    }


def _frame(call: Call, kind: str) -> dict[str, Any]:
    frame: dict[str, Any] = {"id": "chatcmpl-1", "object": kind, "created": 1_790_000_000, "model": call.model}
    if call.answer.service_tier:
        frame["service_tier"] = call.answer.service_tier
    return frame


def _deltas(call: Call, delta: Mapping[str, Any], finish: str | None = None) -> Iterator[bytes]:
    for index in range(call.choices):
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish}
        yield data({**_frame(call, "chat.completion.chunk"), "choices": [choice]})


def _tool(place: int, name: str, arguments: str) -> dict[str, Any]:
    return {"id": f"call_{place}", "type": "function", "function": {"name": name, "arguments": arguments}}


def _finish(call: Call) -> str:
    if call.is_cut_short:
        return "length"
    return "tool_calls" if call.answer.tools else "stop"


def _usage(produced: Produced) -> dict[str, Any]:
    prompt = {"cached_tokens": produced.cached, "audio_tokens": produced.audio_input}
    if produced.cache_write:
        prompt["cache_write_tokens"] = produced.cache_write
    if produced.image_input:
        prompt["image_tokens"] = produced.image_input
    completion = {
        "reasoning_tokens": produced.reasoning,
        "audio_tokens": produced.audio_output,
        "accepted_prediction_tokens": 0,
        "rejected_prediction_tokens": 0,
    }
    if produced.image_output:
        completion["image_tokens"] = produced.image_output
    return {
        "prompt_tokens": produced.input_tokens,
        "completion_tokens": produced.output_tokens,
        "total_tokens": produced.input_tokens + produced.output_tokens,
        "prompt_tokens_details": prompt,
        "completion_tokens_details": completion,
    }
