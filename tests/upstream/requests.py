"""Requests as the upstream reads them: their bodies, and what their paths ask for."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from email import policy
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import unquote

from .chat import Chat
from .gemini import Gemini
from .media import Embeddings, Images, Rerank, Transcriptions
from .messages import Messages
from .responses import Responses

if TYPE_CHECKING:
    from .dialects import Dialect

__all__ = ["Request", "read_body", "read_path"]

_DIALECTS: Final[Mapping[str, Dialect]] = {
    "/chat/completions": Chat(),
    "/responses": Responses(),
    "/messages": Messages(),
    ":generateContent": Gemini(),
    ":streamGenerateContent": Gemini(),
    "/embeddings": Embeddings(),
    "/images/generations": Images(),
    "/audio/transcriptions": Transcriptions(),
    "/rerank": Rerank(),
}


@dataclass(frozen=True, slots=True)
class Request:
    """What a request asks for: in which protocol, of which model, as a stream or as a whole."""

    dialect: Dialect
    model: str
    is_stream: bool


def read_path(path: str, body: Any) -> Request | None:
    """Return what a request asks for, None if no protocol of ours knows its path."""
    dialect = next((dialect for ending, dialect in _DIALECTS.items() if path.endswith(ending)), None)
    if dialect is None:
        return None
    if isinstance(dialect, Gemini):
        model = unquote(path.rpartition("/")[2].partition(":")[0])
        return Request(dialect, model, path.endswith(":streamGenerateContent"))
    asked = body if isinstance(body, Mapping) else {}
    return Request(dialect, str(asked.get("model") or "gpt-4"), bool(asked.get("stream")))


def read_body(headers: Mapping[str, str], raw: bytes) -> Any:
    """Return a body of JSON, or the fields of a form: text as text, a file as its bytes."""
    content_type = headers.get("content-type", "")
    if not raw:
        return None
    if not content_type.startswith("multipart/form-data"):
        return json.loads(raw)
    head = f"Content-Type: {content_type}\r\n\r\n".encode()
    message = BytesParser(policy=policy.HTTP).parsebytes(head + raw)
    fields: dict[str, Any] = {}
    for part in message.iter_parts():
        value = part.get_payload(decode=True)
        name = str(part.get_param("name", header="content-disposition"))
        fields[name] = value.decode() if isinstance(value, bytes) and part.get_filename() is None else value
    return fields
