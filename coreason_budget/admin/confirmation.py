"""Actions that ask first: the page that lists what will happen, and the way back from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

import django
from django.contrib import messages
from django.contrib.admin import helpers
from django.contrib.admin.utils import quote
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import ngettext

from .conflicts import SEEN

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from django import forms
    from django.contrib.admin import ModelAdmin
    from django.db.models import Model, QuerySet
    from django.utils.functional import _StrOrPromise

__all__ = ["MAX_OBJECTS", "Confirmation", "chosen", "is_confirmed", "object_actions", "page", "seen", "way_back"]

#: Each object is a line of the page, a hidden field and an entry in the history.
MAX_OBJECTS: Final = 200

_CONFIRMED: Final = "confirmed"
_ORIGIN: Final = "origin"
_CHANGE_FORM: Final = "change_form"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """
    What a page of confirmation says. ``rows`` are what will happen, a line each; the first cell is its header.

    ``seen`` is what it shows of the objects, in short, by their primary keys: see seen().
    """

    action: str
    title: str
    lead: str
    caption: str
    headers: Sequence[_StrOrPromise]
    rows: Sequence[Sequence[str]]
    form: forms.Form
    button: str
    footer: Sequence[str] = ()
    seen: Mapping[str, str] = field(default_factory=dict)


def is_confirmed(request: HttpRequest) -> bool:
    """Tell whether the page of confirmation was sent, and not the list."""
    return _CONFIRMED in request.POST


def seen(request: HttpRequest) -> dict[str, str]:
    """Return what the page of confirmation that was sent had shown, in short, by primary key."""
    pairs = (each.rpartition(":") for each in request.POST.getlist(SEEN))
    return {pk: shown for pk, _colon, shown in pairs}


def chosen(model_admin: ModelAdmin[Any], request: HttpRequest, queryset: QuerySet[Any]) -> list[Any]:
    """Return the chosen objects; none, and a message, if there are none left or more than one page can list."""
    found = list(queryset[: MAX_OBJECTS + 1])
    if not found:
        model_admin.message_user(request, _("What was chosen is gone. Nothing was changed."), messages.INFO)
    if len(found) <= MAX_OBJECTS:
        return found
    text = ngettext(
        "This is done with at most %(most)s object at a time. Nothing was changed.",
        "This is done with at most %(most)s objects at a time. Nothing was changed.",
        MAX_OBJECTS,
    )
    model_admin.message_user(request, text % {"most": MAX_OBJECTS}, messages.WARNING)
    return []


def page(
    model_admin: ModelAdmin[Any], request: HttpRequest, objects: Sequence[Model], asked: Confirmation
) -> TemplateResponse:
    """Return the page that asks. It posts to where it was asked for, with the same filters."""
    request.current_app = model_admin.admin_site.name
    return TemplateResponse(
        request,
        "admin/coreason_budget/confirm.html",
        {
            **model_admin.admin_site.each_context(request),
            "title": asked.title,
            "opts": model_admin.opts,
            "media": model_admin.media,
            "asked": asked,
            "pks": [str(each.pk) for each in objects],
            "seen": [f"{pk}:{shown}" for pk, shown in asked.seen.items()],
            "seen_name": SEEN,
            "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
            "origin": request.POST.get(_ORIGIN, ""),
            "breadcrumbs_are_list": django.VERSION >= (6, 1),
            "back_url": _origin_url(model_admin, request, objects) or request.get_full_path(),
        },
    )


def way_back(model_admin: ModelAdmin[Any], request: HttpRequest, objects: Sequence[Model]) -> HttpResponse | None:
    """Return a redirect to the form that an action was called from; None leads to the list."""
    url = _origin_url(model_admin, request, objects)
    return None if url is None else HttpResponseRedirect(url)


def object_actions(model_admin: ModelAdmin[Any], request: HttpRequest, names: Sequence[str]) -> dict[str, Any]:
    """Return the context in which an object's own page has buttons for these actions, as far as they are permitted."""
    permitted = model_admin.get_actions(request)
    functions = {function.__name__: function for function in model_admin.actions or () if callable(function)}
    meta = model_admin.opts
    return {
        "object_actions": [
            {"name": name, "label": functions[name].short_description}  # type: ignore[attr-defined]  # of admin.action
            for name in names
            if name in permitted
        ],
        "object_actions_url": reverse(
            f"admin:{meta.app_label}_{meta.model_name}_changelist", current_app=model_admin.admin_site.name
        ),
        "object_actions_origin": _CHANGE_FORM,
        "action_checkbox_name": helpers.ACTION_CHECKBOX_NAME,
    }


def _origin_url(model_admin: ModelAdmin[Any], request: HttpRequest, objects: Sequence[Model]) -> str | None:
    if request.POST.get(_ORIGIN) != _CHANGE_FORM or len(objects) != 1:
        return None
    meta = model_admin.opts
    return reverse(
        f"admin:{meta.app_label}_{meta.model_name}_change",
        args=[quote(objects[0].pk)],
        current_app=model_admin.admin_site.name,
    )
