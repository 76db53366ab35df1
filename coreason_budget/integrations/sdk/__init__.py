"""What the clients of openai and anthropic have in common: one generator makes both SDKs. No SDK is imported here."""

from __future__ import annotations
