"""``export_csv``: records as a file for spreadsheets, streamed in small pieces whatever their number."""

from __future__ import annotations

import csv
import json
from datetime import UTC
from typing import TYPE_CHECKING, Any, Final

from asgiref.sync import sync_to_async
from django.contrib import admin
from django.core.handlers.asgi import ASGIRequest
from django.db.models import Q
from django.http import StreamingHttpResponse
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from ..management.names import user_names
from ..management.spreadsheet import harmless
from .record_links import original_id

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator, Sequence

    from django.db.models import QuerySet
    from django.http import HttpRequest

    from ..models import SpendRecord

__all__ = ["COLUMNS", "export_csv"]

#: The columns of the file. They are for machines too, so their names are the same in every language.
COLUMNS: Final = (
    "booked_at",
    "kind",
    "charge_id",
    "refund_of",
    "user_id",
    "user",
    "project_id",
    "model",
    "cost_usd",
    "input_tokens",
    "output_tokens",
    "hold_id",
    "counted",
    "metadata",
)

_PIECE: Final = 2_000
_BYTE_ORDER_MARK: Final = "\ufeff"  # without it spreadsheets take UTF-8 for something else


@admin.action(description=_("Export as CSV"), permissions=["view"])
def export_csv(
    model_admin: admin.ModelAdmin[SpendRecord], request: HttpRequest, queryset: QuerySet[SpendRecord]
) -> StreamingHttpResponse:
    """Send the chosen records, the newest first: times in UTC, costs exact."""
    pieces = _pieces(queryset)
    content = _awaited(pieces) if isinstance(request, ASGIRequest) else pieces
    name = f"spend-records-{timezone.now().astimezone(UTC):%Y-%m-%d}.csv"
    return StreamingHttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


class _Line:
    """A file that gives back what was written to it last."""

    def write(self, text: str) -> str:
        """Return the text."""
        return text


def _pieces(queryset: QuerySet[SpendRecord]) -> Iterator[str]:
    writer = csv.writer(_Line())
    yield _BYTE_ORDER_MARK + writer.writerow(COLUMNS)
    ordered = queryset.order_by("-at", "-pk")
    records = list(ordered[:_PIECE])
    while records:
        names = user_names({record.user_id for record in records})
        yield "".join(writer.writerow(_cells(record, names.get(record.user_id, ""))) for record in records)
        last = records[-1]
        rest = Q(at__lt=last.at) | Q(at=last.at, pk__lt=last.pk)
        # One range of the index from where the last piece ended, so that the last piece costs no more than the first.
        records = list(ordered.filter(rest, at__lte=last.at)[:_PIECE]) if len(records) == _PIECE else []


async def _awaited(pieces: Iterator[str]) -> AsyncIterator[str]:
    """Make the pieces in a thread: a server that awaits would otherwise gather all of them first."""
    while (piece := await sync_to_async(_next)(pieces)) is not None:
        yield piece


def _next(pieces: Iterator[str]) -> str | None:
    return next(pieces, None)


def _cells(record: SpendRecord, user: str) -> Sequence[Any]:
    return (
        record.at.astimezone(UTC).isoformat().replace("+00:00", "Z"),
        record.kind,
        harmless(record.charge_id),
        harmless(original_id(record)),
        harmless(record.user_id),
        harmless(user),
        harmless(record.project_id),
        harmless(record.model),
        f"{record.cost_usd:f}",
        record.input_tokens,
        record.output_tokens,
        harmless(record.hold_id),
        "no" if record.journal_id is None else "yes",
        harmless(json.dumps(record.metadata, ensure_ascii=False, sort_keys=True)) if record.metadata else "",
    )
