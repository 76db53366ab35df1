"""The configuration of the example's one app."""

from __future__ import annotations

from django.apps import AppConfig


class ChatConfig(AppConfig):
    """People and projects that talk to language models, on a budget."""

    name = "chat"
