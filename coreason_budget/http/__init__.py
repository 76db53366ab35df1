"""Requests and responses: who is asking, ``request.budget``, decorated calls, and what a refused visitor gets."""

from __future__ import annotations

from .budget import RequestBudget, budget_of

__all__ = ["RequestBudget", "budget_of"]
