"""Limits as CSV files: the export, and the page that takes a file in after it has shown what that would change."""

from __future__ import annotations

from contextlib import suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final, cast

import django
from django import forms
from django.contrib import messages
from django.contrib.admin.models import ADDITION, CHANGE, LogEntry
from django.contrib.admin.options import get_content_type_for_model
from django.core import signing
from django.core.exceptions import PermissionDenied
from django.db import IntegrityError, router, transaction
from django.http import HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import path, reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from . import words
from .limit_changes import Terms
from .limit_file import MAX_BYTES, FileError, columns, read_file

if TYPE_CHECKING:
    from collections.abc import Sequence

    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest
    from django.urls import URLPattern

    from ..models import BudgetLimit
    from .limit_resource import Change, LimitResource

    LimitModelAdmin = ModelAdmin[BudgetLimit]
else:
    LimitModelAdmin = object

__all__ = ["TransferMixin", "is_installed"]

_BYTE_ORDER_MARK: Final = "\ufeff"  # without it spreadsheets take UTF-8 for something else
#: So many changes are listed; the others are counted.
SHOWN: Final = 500
_SHORT: Final = 80


class FileForm(forms.Form):
    """Asks for a file."""

    file = forms.FileField(
        label=gettext_lazy("CSV file"),
        widget=forms.FileInput(attrs={"accept": ".csv,text/csv"}),
        error_messages={"required": gettext_lazy("Choose a file."), "empty": gettext_lazy("The file is empty.")},
    )


def is_installed() -> bool:
    """Tell whether django-import-export is there."""
    return find_spec("import_export") is not None


class TransferMixin(LimitModelAdmin):
    """Gives a list of limits its export and its import, if django-import-export is installed."""

    def get_urls(self) -> list[URLPattern]:
        """Return the pages of limits, with those that need the extra if it is there."""
        urls = super().get_urls()
        if not is_installed():
            return urls
        name = f"coreason_budget_{self.opts.model_name}"
        return [
            path("export/", self.admin_site.admin_view(self.export_view), name=f"{name}_export"),
            path("import/", self.admin_site.admin_view(self.import_view), name=f"{name}_import"),
            *urls,
        ]

    def has_import_permission(self, request: HttpRequest) -> bool:
        """Tell whether someone may take a file in: it adds limits and changes them."""
        return self.has_add_permission(request) and self.has_change_permission(request)

    def export_view(self, request: HttpRequest) -> HttpResponse:
        """Send all limits as a file."""
        if not self.has_view_permission(request):
            raise PermissionDenied
        return export_limits(self, request)

    def import_view(self, request: HttpRequest) -> HttpResponse:
        """Take limits from a file."""
        if not self.has_import_permission(request):
            raise PermissionDenied
        return import_limits(self, request)

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        """Show the list with links to both, as far as they are there and permitted."""
        links = {
            "can_export_limits": is_installed(),
            "can_import_limits": is_installed() and self.has_import_permission(request),
        }
        return super().changelist_view(request, {**links, **(extra_context or {})})


def export_limits(model_admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """Return all limits of the list as a file that can be taken in again."""
    from .limit_resource import resource_of

    table = resource_of(model_admin.model)().export(model_admin.get_queryset(request).order_by("pk"))
    name = f"{model_admin.opts.model_name}s-{timezone.now():%Y-%m-%d}.csv"
    return HttpResponse(
        _BYTE_ORDER_MARK + table.export("csv"),
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def import_limits(model_admin: ModelAdmin[Any], request: HttpRequest) -> HttpResponse:
    """Ask for a file, show what it would change, and change that once it is confirmed."""
    if request.method != "POST":
        return _page(model_admin, request, FileForm())
    if "packed" in request.POST:
        return _confirmed(model_admin, request, request.POST["packed"])
    form = FileForm(request.POST, request.FILES)
    if not form.is_valid():
        return _page(model_admin, request, form)
    upload = form.cleaned_data["file"]
    try:
        return _foreseen(model_admin, request, upload.read(MAX_BYTES + 1))
    except FileError as error:
        form.add_error("file", str(error))
        return _page(model_admin, request, form)


def _foreseen(model_admin: ModelAdmin[Any], request: HttpRequest, content: bytes) -> HttpResponse:
    """Return the page that shows what a file would change, or all that is wrong with it."""
    resource = _resource(model_admin, content)
    errors = resource.take(dry_run=True)
    packed = signing.dumps([content.decode("utf-8-sig"), resource.state], salt=_salt(model_admin), compress=True)
    return _page(
        model_admin,
        request,
        FileForm(),
        errors=[(words.number(line), column, words.named(_short(value)), said) for line, column, value, said in errors],
        changes=[_told(change) for change in resource.changes[:SHOWN]],
        more=words.number(max(0, len(resource.changes) - SHOWN)) if len(resource.changes) > SHOWN else "",
        count=len(resource.changes),
        packed="" if errors else packed,
        is_read=True,
    )


def _confirmed(model_admin: ModelAdmin[Any], request: HttpRequest, packed: str) -> HttpResponse:
    """Change the limits, all or none; if somebody has changed one of them meanwhile, ask again."""
    try:
        text, state = signing.loads(packed, salt=_salt(model_admin))
    except signing.BadSignature:
        messages.error(request, _("That page can no longer be confirmed. Choose the file again."))
        return _page(model_admin, request, FileForm())
    content = text.encode()
    with suppress(_OvertakenError), transaction.atomic(using=router.db_for_write(model_admin.model)):
        return _done(model_admin, request, _carry_out(model_admin, request, content, state))
    messages.warning(request, _("Limits were changed meanwhile. Nothing was saved; look at it again."))
    return _foreseen(model_admin, request, content)


def _salt(model_admin: ModelAdmin[Any]) -> str:
    """Return what makes a page of one kind of limits worthless to another."""
    return model_admin.opts.label


class _OvertakenError(Exception):
    """Somebody has changed one of the limits since the page was made that is being confirmed."""


def _carry_out(model_admin: ModelAdmin[Any], request: HttpRequest, content: bytes, state: str) -> int:
    """Change the limits of a file and return how many. Raise _OvertakenError if they are not as they were seen."""
    from import_export.exceptions import ImportError as RowError

    seen, resource = _resource(model_admin, content), _resource(model_admin, content)
    if seen.take(dry_run=True) or seen.state != state:  # which locks them
        raise _OvertakenError
    try:
        resource.take(dry_run=False)
    except RowError as error:
        if isinstance(error.error, IntegrityError):  # a limit that was new has been added by somebody else
            raise _OvertakenError from error
        raise
    _log(request, resource.changes)
    return len(resource.changes)


def _done(model_admin: ModelAdmin[Any], request: HttpRequest, count: int) -> HttpResponse:
    said = ngettext(
        "%(count)s limit was changed. It holds from the next call on.",
        "%(count)s limits were changed. They hold from the next call on.",
        count,
    )
    messages.success(request, said % {"count": words.number(count)})
    name = f"admin:coreason_budget_{model_admin.opts.model_name}_changelist"
    return HttpResponseRedirect(reverse(name, current_app=model_admin.admin_site.name))


def _resource(model_admin: ModelAdmin[Any], content: bytes) -> LimitResource:
    from .limit_resource import resource_of

    return resource_of(model_admin.model)(read_file(content, model_admin.model.scope))


def _log(request: HttpRequest, changes: Sequence[Change]) -> None:
    """Tell the history what became of each limit: one query for many."""
    LogEntry.objects.bulk_create(
        [
            LogEntry(
                user_id=cast("int", request.user.pk),
                content_type=get_content_type_for_model(change.limit),
                object_id=str(change.limit.pk),
                object_repr=str(change.limit)[:200],
                action_flag=ADDITION if change.before is None else CHANGE,
                change_message=_("Import, line %(line)s: %(before)s → %(after)s.")
                % {"line": change.line, "before": _before(change), "after": Terms.of(change.limit).text()},
            )
            for change in changes
        ],
        batch_size=500,
    )


def _told(change: Change) -> Sequence[Any]:
    limit = change.limit
    whose, after = words.named(words.whose(limit)), Terms.of(limit).text()
    reason = words.named(_short(limit.reason)) if limit.reason != change.reason_before else ""
    return words.number(change.line), whose, words.per(limit.period), _before(change), after, reason


def _before(change: Change) -> str:
    return _("none") if change.before is None else change.before.text()


def _short(text: str) -> str:
    return text if len(text) <= _SHORT else f"{text[:_SHORT]}…"


def _page(model_admin: ModelAdmin[BudgetLimit], request: HttpRequest, form: FileForm, **found: Any) -> HttpResponse:
    request.current_app = model_admin.admin_site.name  # read by {% url %}
    context = {
        **model_admin.admin_site.each_context(request),
        "title": _("Import limits"),
        "opts": model_admin.opts,
        "media": model_admin.media,
        "breadcrumbs_are_list": django.VERSION >= (6, 1),
        "form": form,
        "columns": ", ".join(columns(model_admin.model.scope)),
        **found,
    }
    return TemplateResponse(request, "admin/coreason_budget/limit_import.html", context)
