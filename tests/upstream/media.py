"""OpenAI embeddings, images and transcriptions, and Cohere's rerank: answers that come as a whole."""

from __future__ import annotations

import base64
import struct
from typing import TYPE_CHECKING, Any, Final

from .chat import openai_refusal

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .books import Produced
    from .calls import Call

__all__ = ["Embeddings", "Images", "Rerank", "Transcriptions"]

VECTOR: Final = (0.5, -0.25)
IMAGE_TOKENS: Final = 272  # of a small one of low quality


class Embeddings:
    """``POST .../embeddings``."""

    def produce(self, call: Call) -> None:
        """An embedding has no tokens of an answer."""

    def whole(self, call: Call) -> Mapping[str, Any]:
        texts = call.body.get("input")
        vector: Any = list(VECTOR)
        if call.body.get("encoding_format") == "base64":
            vector = base64.b64encode(struct.pack(f"<{len(VECTOR)}f", *VECTOR)).decode()
        answer: dict[str, Any] = {
            "object": "list",
            "data": [
                {"object": "embedding", "index": index, "embedding": vector}
                for index in range(len(texts) if isinstance(texts, list) else 1)
            ],
            "model": call.model,
        }
        if call.answer.reports_usage:
            count = call.produced.input_tokens
            answer["usage"] = {"prompt_tokens": count, "total_tokens": count}
        return answer

    def refusal(self, status: int) -> Mapping[str, Any]:
        return openai_refusal(status)


class Images:
    """``POST .../images/generations``; models named gpt-image are billed by tokens, others by the image."""

    def produce(self, call: Call) -> None:
        call.produced.images = call.choices
        if _is_billed_by_tokens(call):
            each = call.answer.tokens.image_output or IMAGE_TOKENS
            call.produced.image_output = call.produced.output_tokens = each * call.choices

    def whole(self, call: Call) -> Mapping[str, Any]:
        answer: dict[str, Any] = {"created": 1_790_000_000, "data": [{"b64_json": "aQ=="}] * call.choices}
        if _is_billed_by_tokens(call):
            terms = {"size": "1024x1024", "quality": "low", "background": "opaque", "output_format": "png"}
            answer |= {name: call.body.get(name) or usual for name, usual in terms.items()}
            if call.answer.reports_usage:
                answer["usage"] = _image_usage(call.produced)
        return answer

    def refusal(self, status: int) -> Mapping[str, Any]:
        return openai_refusal(status)


class Transcriptions:
    """``POST .../audio/transcriptions``; an answer that has ``seconds`` is billed by them."""

    def produce(self, call: Call) -> None:
        if call.answer.seconds is None:
            call.finish()
        else:
            call.produced.seconds = call.answer.seconds
            call.produced.input_tokens = 0

    def whole(self, call: Call) -> Mapping[str, Any]:
        answer: dict[str, Any] = {"text": call.text}
        if call.body.get("response_format") == "verbose_json":
            answer |= {"task": "transcribe", "language": "english", "duration": call.answer.seconds, "segments": []}
        if not call.answer.reports_usage:
            return answer
        if call.answer.seconds is not None:
            return {**answer, "usage": {"type": "duration", "seconds": call.answer.seconds}}
        produced = call.produced
        text = produced.input_tokens - produced.audio_input
        usage = {
            "type": "tokens",
            "input_tokens": produced.input_tokens,
            "input_token_details": {"text_tokens": text, "audio_tokens": produced.audio_input},
            "output_tokens": produced.output_tokens,
            "total_tokens": produced.input_tokens + produced.output_tokens,
        }
        return {**answer, "usage": usage}

    def refusal(self, status: int) -> Mapping[str, Any]:
        return openai_refusal(status)


class Rerank:
    """``POST .../rerank``: one search, whatever is asked."""

    def produce(self, call: Call) -> None:
        call.produced.searches = 1
        call.produced.input_tokens = 0

    def whole(self, call: Call) -> Mapping[str, Any]:
        count = int(call.body.get("top_n") or len(call.body.get("documents") or ()))
        answer: dict[str, Any] = {
            "id": "rerank-1",
            "results": [{"index": index, "relevance_score": 1 / (index + 1)} for index in range(count)],
            "meta": {"api_version": {"version": "2"}},
        }
        if call.answer.reports_usage:
            answer["meta"]["billed_units"] = {"search_units": call.produced.searches}
        return answer

    def refusal(self, status: int) -> Mapping[str, Any]:
        return {"message": f"The upstream was told to fail ({status})."}


def _is_billed_by_tokens(call: Call) -> bool:
    return "gpt-image" in call.model


def _image_usage(produced: Produced) -> Mapping[str, Any]:
    return {
        "input_tokens": produced.input_tokens,
        "input_tokens_details": {
            "text_tokens": produced.input_tokens - produced.image_input,
            "image_tokens": produced.image_input,
        },
        "output_tokens": produced.output_tokens,
        "output_tokens_details": {"text_tokens": 0, "image_tokens": produced.image_output},
        "total_tokens": produced.input_tokens + produced.output_tokens,
    }
