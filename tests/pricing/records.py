"""What providers have answered, as their documentation has it, and the SDKs' objects made of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from anthropic.types import Message
from anthropic.types import RawMessageStreamEvent as MessageEvent
from google.genai.types import GenerateContentResponse
from openai.types import CreateEmbeddingResponse
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

FOLDER = Path(__file__).with_name("recorded")


def recorded(name: str) -> Any:
    """Return a record as plain dicts."""
    return json.loads((FOLDER / f"{name}.json").read_text("utf-8"))


_TYPES: dict[str, Any] = {
    "openai_chat": ChatCompletion,
    "openai_chat_audio": ChatCompletion,
    "openai_chat_stream": list[ChatCompletionChunk],
    "openai_response": Response,
    "openai_response_stream": list[ResponseStreamEvent],
    "openai_embedding": CreateEmbeddingResponse,
    "anthropic_message": Message,
    "anthropic_stream": list[MessageEvent],
    "gemini": GenerateContentResponse,
    "gemini_stream": list[GenerateContentResponse],
}


def sdk_object(name: str) -> Any:
    """Return a record as the objects that the provider's own SDK makes of it."""
    adapter: TypeAdapter[Any] = TypeAdapter(_TYPES[name])
    record = recorded(name)
    if name == "anthropic_stream":
        record = [event for event in record if event["type"] != "ping"]  # the SDK keeps those to itself
    return adapter.validate_python(record)
