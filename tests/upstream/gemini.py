"""Gemini's generateContent."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from .dialects import data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from .calls import Call, Piece

__all__ = ["Gemini"]


class Gemini:
    """``POST .../models/<model>:generateContent`` and ``:streamGenerateContent``."""

    def produce(self, call: Call) -> None:
        call.finish()

    def whole(self, call: Call) -> Mapping[str, Any]:
        parts = [_tool(name, call.arguments(place)) for place, name in call.tools]
        return _response(call, parts or [{"text": call.text}], _finish(call))

    def opening(self, call: Call) -> Iterator[bytes]:
        yield from ()

    def piece(self, call: Call, piece: Piece) -> Iterator[bytes]:
        if piece.tool is None:
            yield data(_response(call, [{"text": piece.text}]))

    def closing(self, call: Call) -> Iterator[bytes]:
        parts = [_tool(name, call.arguments(place)) for place, name in call.tools]
        yield data(_response(call, parts or [{"text": ""}], _finish(call)))

    def failing(self, call: Call) -> Iterator[bytes]:
        yield data(self.refusal(503))

    def refusal(self, status: int) -> Mapping[str, Any]:
        states = {429: "RESOURCE_EXHAUSTED", 400: "INVALID_ARGUMENT", 503: "UNAVAILABLE"}
        state = states.get(status, "INTERNAL")
        return {"error": {"code": status, "message": f"The upstream was told to fail ({status}).", "status": state}}


def _response(call: Call, parts: list[dict[str, Any]], finish: str | None = None) -> Mapping[str, Any]:
    candidate: dict[str, Any] = {"index": 0, "content": {"role": "model", "parts": parts}}
    if finish:
        candidate["finishReason"] = finish
    response: dict[str, Any] = {"candidates": [candidate], "modelVersion": call.model, "responseId": "1"}
    if call.answer.reports_usage:
        response["usageMetadata"] = _usage(call)  # in every event, as far as it has come
    return response


def _tool(name: str, arguments: str) -> dict[str, Any]:
    try:
        given = json.loads(arguments)
    except ValueError:  # cut short
        given = {}
    return {"functionCall": {"name": name, "args": given}}


def _finish(call: Call) -> str:
    return "MAX_TOKENS" if call.is_cut_short else "STOP"


def _usage(call: Call) -> dict[str, Any]:
    produced = call.produced
    media = {"AUDIO": produced.audio_input, "IMAGE": produced.image_input}
    media = {"TEXT": produced.input_tokens - sum(media.values()), **{name: n for name, n in media.items() if n}}
    usage: dict[str, Any] = {
        "promptTokenCount": produced.input_tokens,
        "candidatesTokenCount": produced.output_tokens - produced.reasoning,
        "totalTokenCount": produced.input_tokens + produced.output_tokens,
        "promptTokensDetails": [{"modality": name, "tokenCount": count} for name, count in media.items()],
    }
    made = {"AUDIO": produced.audio_output, "IMAGE": produced.image_output}
    if any(made.values()):
        usage["candidatesTokensDetails"] = [{"modality": name, "tokenCount": n} for name, n in made.items() if n]
    if produced.cached:
        usage["cachedContentTokenCount"] = produced.cached
    if produced.reasoning:
        usage["thoughtsTokenCount"] = produced.reasoning
    return usage
