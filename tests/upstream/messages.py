"""Anthropic messages."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .dialects import event

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .calls import Call, Piece

__all__ = ["Messages"]


class Messages:
    """``POST .../messages``."""

    def produce(self, call: Call) -> None:
        call.finish()

    def whole(self, call: Call) -> Mapping[str, Any]:
        content = [_tool(place, name, call.arguments(place)) for place, name in call.tools]
        message = _message(call, content or [{"type": "text", "text": call.text}])
        message["stop_reason"] = _reason(call)
        if call.answer.reports_usage:
            message["usage"] = _usage(call, call.produced.output_tokens)
        return message

    def opening(self, call: Call) -> Iterator[bytes]:
        message = _message(call, [])
        if call.answer.reports_usage:
            message["usage"] = _usage(call, 1)  # the provider's first word; the last one counts
        yield event({"type": "message_start", "message": message})
        if not call.answer.tools:
            yield event({"type": "content_block_start", "index": 0, "content_block": {"type": "text", "text": ""}})
        yield event({"type": "ping"})

    def piece(self, call: Call, piece: Piece) -> Iterator[bytes]:
        place = piece.tool or 0
        delta = {"type": "text_delta", "text": piece.text}
        if piece.tool is not None:
            delta = {"type": "input_json_delta", "partial_json": piece.text}
        if piece.opens:
            if place:
                yield event({"type": "content_block_stop", "index": place - 1})
            opened = _tool(place, call.answer.tools[place].name, "{}")
            yield event({"type": "content_block_start", "index": place, "content_block": opened})
        yield event({"type": "content_block_delta", "index": place, "delta": delta})

    def closing(self, call: Call) -> Iterator[bytes]:
        yield event({"type": "content_block_stop", "index": max(0, len(call.tools) - 1)})
        ending: dict[str, Any] = {
            "type": "message_delta",
            "delta": {"stop_reason": _reason(call), "stop_sequence": None},
        }
        if call.answer.reports_usage:
            ending["usage"] = {"output_tokens": call.produced.output_tokens}
        yield event(ending)
        yield event({"type": "message_stop"})

    def failing(self, call: Call) -> Iterator[bytes]:
        yield event(self.refusal(529))

    def refusal(self, status: int) -> Mapping[str, Any]:
        kinds = {429: "rate_limit_error", 529: "overloaded_error", 400: "invalid_request_error"}
        error = {"type": kinds.get(status, "api_error"), "message": f"The upstream was told to fail ({status})."}
        return {"type": "error", "error": error, "request_id": "req_1"}


def _message(call: Call, content: list[dict[str, Any]]) -> dict[str, Any]:
    ends = {"stop_reason": None, "stop_sequence": None}
    return {"id": "msg_1", "type": "message", "role": "assistant", "model": call.model, "content": content, **ends}


def _tool(place: int, name: str, arguments: str) -> dict[str, Any]:
    try:
        given = json.loads(arguments)
    except ValueError:  # cut short
        given = {}
    return {"type": "tool_use", "id": f"toolu_{place}", "name": name, "input": given}


def _reason(call: Call) -> str:
    if call.is_cut_short:
        return "max_tokens"
    return "tool_use" if call.answer.tools else "end_turn"


def _usage(call: Call, output_tokens: int) -> dict[str, Any]:
    produced = call.produced
    usage: dict[str, Any] = {
        "input_tokens": produced.input_tokens - produced.cached - produced.cache_write,
        "cache_creation_input_tokens": produced.cache_write,
        "cache_read_input_tokens": produced.cached,
        "cache_creation": {
            "ephemeral_5m_input_tokens": produced.cache_write - produced.cache_write_1h,
            "ephemeral_1h_input_tokens": produced.cache_write_1h,
        },
        "output_tokens": output_tokens,
        "service_tier": call.answer.service_tier or "standard",
    }
    if produced.reasoning:
        usage["output_tokens_details"] = {"thinking_tokens": produced.reasoning}
    return usage
