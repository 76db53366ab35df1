"""How a user is chosen and found, whatever the project's user model is and whether it has an admin."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib.auth import get_user_model
from django.core.exceptions import FieldDoesNotExist, ValidationError
from django.db.models import Q

if TYPE_CHECKING:
    from django.contrib import admin
    from django.http import HttpRequest

    from ..models import UserLimit

    UserLimitModelAdmin = admin.ModelAdmin[UserLimit]
else:
    UserLimitModelAdmin = object

__all__ = ["UserChoiceMixin", "name_fields", "user_name_field", "users_named"]


class UserChoiceMixin(UserLimitModelAdmin):
    """Chooses the user with autocomplete where the project's user admin can search, else by primary key."""

    raw_id_fields = ("user",)

    def get_autocomplete_fields(self, request: HttpRequest) -> tuple[str, ...]:
        """Return the user's field if whoever asks may search users: without that, the autocomplete would be empty."""
        model = get_user_model()
        if not self.admin_site.is_registered(model):
            return ()
        users = self.admin_site.get_model_admin(model)
        return ("user",) if users.get_search_fields(request) and users.has_view_permission(request) else ()


def user_name_field() -> str:
    """Return the field by which the project's users log in."""
    return str(get_user_model().USERNAME_FIELD)


def name_fields() -> list[str]:
    """Return the fields of the project's user model that name a user: what they log in with, and their address."""
    model = get_user_model()
    names = dict.fromkeys((user_name_field(), model.get_email_field_name()))
    return [name for name in names if _holds_text(name)]


def _holds_text(name: str) -> bool:
    try:
        return not get_user_model()._meta.get_field(name).is_relation
    except FieldDoesNotExist:
        return False


def users_named(term: str) -> list[str]:
    """Return the ids of users with exactly this name; of the user model's fields only those with an index are asked."""
    model = get_user_model()
    fields: list[Any] = [model._meta.get_field(name) for name in name_fields()]
    named = Q(*((field.name, term) for field in fields if _may_be(field, term)), _connector=Q.OR)
    return [str(key) for key in model._default_manager.filter(named).values_list("pk", flat=True)] if named else []


def _may_be(field: Any, term: str) -> bool:
    """Tell whether an index of the field could find the term, which a number's column would refuse as text."""
    try:
        field.run_validators(field.to_python(term))
    except ValidationError:
        return False
    return bool(field.unique or field.db_index)
