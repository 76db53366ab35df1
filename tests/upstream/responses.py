"""OpenAI Responses."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .chat import openai_refusal
from .dialects import event

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .books import Produced
    from .calls import Call, Piece

__all__ = ["Responses"]


class Responses:
    """``POST .../responses``."""

    def produce(self, call: Call) -> None:
        call.finish()

    def whole(self, call: Call) -> Mapping[str, Any]:
        return _response(call, "incomplete" if call.is_cut_short else "completed")

    def opening(self, call: Call) -> Iterator[bytes]:
        yield event({"type": "response.created", "sequence_number": 0, "response": _response(call, "in_progress")})
        yield event({"type": "response.in_progress", "sequence_number": 1, "response": _response(call, "in_progress")})
        if not call.answer.tools:
            yield _place(0, {"type": "response.output_item.added", "item": _message("in_progress", [])})
            yield _place(0, {"type": "response.content_part.added", **_PART, "part": _text("")})

    def piece(self, call: Call, piece: Piece) -> Iterator[bytes]:
        if piece.tool is None:
            yield _place(0, {"type": "response.output_text.delta", **_PART, "delta": piece.text, "logprobs": []})
            return
        if piece.opens:
            opened = _tool(piece.tool, call.answer.tools[piece.tool].name, "", "in_progress")
            yield _place(piece.tool, {"type": "response.output_item.added", "item": opened})
        written = {"item_id": f"fc_{piece.tool}", "delta": piece.text}
        yield _place(piece.tool, {"type": "response.function_call_arguments.delta", **written})

    def closing(self, call: Call) -> Iterator[bytes]:
        if call.answer.breaks is not None and call.answer.breaks.how == "failed":
            yield _end(_response(call, "failed"))
            return
        response = self.whole(call)
        if not call.answer.tools:
            done = {"text": call.text, "logprobs": []}
            yield _place(0, {"type": "response.output_text.done", **_PART, **done})
            yield _place(0, {"type": "response.content_part.done", **_PART, "part": _text(call.text)})
        for place, item in enumerate(response["output"]):
            if item["type"] == "function_call":
                done = {"item_id": item["id"], "name": item["name"], "arguments": item["arguments"]}
                yield _place(place, {"type": "response.function_call_arguments.done", **done})
            yield _place(place, {"type": "response.output_item.done", "item": item})
        yield _end(response)

    def failing(self, call: Call) -> Iterator[bytes]:
        error = {"code": "server_error", "message": "The upstream was told to fail.", "param": None}
        yield event({"type": "error", "sequence_number": 9, **error})

    def refusal(self, status: int) -> Mapping[str, Any]:
        return openai_refusal(status)


_PART = {"item_id": "msg_0", "content_index": 0}


def _place(place: int, value: Mapping[str, Any]) -> bytes:
    return event({**value, "output_index": place, "sequence_number": 2})


def _end(response: Mapping[str, Any]) -> bytes:
    return event({"type": f"response.{response['status']}", "sequence_number": 9, "response": response})


def _response(call: Call, status: str) -> Mapping[str, Any]:
    is_over = status in {"completed", "incomplete"}
    response: dict[str, Any] = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_790_000_000,
        "model": call.model,
        "status": status,
        "error": {"code": "server_error", "message": "told to"} if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "instructions": None,
        "metadata": {},
        "output": _output(call, status) if is_over else [],
        "parallel_tool_calls": True,
        "temperature": 1.0,
        "tool_choice": "auto",
        "tools": [],
        "top_p": 1.0,
        "usage": _usage(call.produced) if is_over and call.answer.reports_usage else None,
    }
    if call.answer.service_tier:
        response["service_tier"] = call.answer.service_tier
    return response


def _output(call: Call, status: str) -> list[dict[str, Any]]:
    if call.answer.tools:
        return [_tool(place, name, call.arguments(place), status) for place, name in call.tools]
    return [_message(status, [_text(call.text)])]


def _message(status: str, content: list[dict[str, Any]]) -> dict[str, Any]:
    return {"id": "msg_0", "type": "message", "role": "assistant", "status": status, "content": content}


def _text(text: str) -> dict[str, Any]:
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def _tool(place: int, name: str, arguments: str, status: str) -> dict[str, Any]:
    ids = {"id": f"fc_{place}", "call_id": f"call_{place}"}
    return {"type": "function_call", **ids, "name": name, "arguments": arguments, "status": status}


def _usage(produced: Produced) -> dict[str, Any]:
    return {
        "input_tokens": produced.input_tokens,
        "input_tokens_details": {"cached_tokens": produced.cached, "cache_write_tokens": produced.cache_write},
        "output_tokens": produced.output_tokens,
        "output_tokens_details": {"reasoning_tokens": produced.reasoning},
        "total_tokens": produced.input_tokens + produced.output_tokens,
    }
