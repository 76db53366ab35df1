"""
A provider of LLMs on loopback that says and does what a test tells it to, and keeps the books of what it produced.

The fixture ``upstream`` is in ``plugin``; ``Answer`` says what comes; ``Exchange`` is a line of the books.
"""

from __future__ import annotations

from .answers import Answer, Break, Gate, Tokens, ToolCall
from .books import Exchange, Produced
from .stage import Upstream

__all__ = ["Answer", "Break", "Exchange", "Gate", "Produced", "Tokens", "ToolCall", "Upstream"]
