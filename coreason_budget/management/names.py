"""``user_names``: what the users are called whose ids records have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib.auth import get_user_model

from ..limits import user_key

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["user_names"]


def user_names(user_ids: Iterable[str]) -> dict[str, str]:
    """Return the names of users by their ids as text: one query. Ids that are no user's are left out."""
    keys = {key for user_id in user_ids if user_id and (key := user_key(user_id)) is not None}
    if not keys:
        return {}
    model = get_user_model()
    found = model._default_manager.filter(pk__in=keys).values_list("pk", str(model.USERNAME_FIELD))
    return {str(key): str(name) for key, name in found}
