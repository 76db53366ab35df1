"""LLM calls on a budget: who pays for them, what they may cost, and booking what they did, however they end."""

from __future__ import annotations
