"""What the records of one page refer to: the users behind their ids, and the records that refund each other."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from ..management.names import user_names
from ..models import SpendRecord

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

__all__ = ["Links", "links_of", "related_ids"]

_REFUND: Final = "refund:"
_REVERSAL: Final = "~refund"
_EXPIRED: Final = "expired:"


@dataclass(frozen=True, slots=True)
class Links:
    """The users of records by id, and by charge id the records that belong to them."""

    names: Mapping[str, str]
    records: Mapping[str, SpendRecord]

    def original_of(self, record: SpendRecord) -> SpendRecord | None:
        """Return the record that a refund takes back, None if it is none or if its original is not there."""
        return self.records.get(original_id(record))

    def refund_of(self, record: SpendRecord) -> SpendRecord | None:
        """Return the refund of a record, None if there is none."""
        return next((found for name in refund_ids(record) if (found := self.records.get(name))), None)

    def was_refunded(self, record: SpendRecord) -> bool:
        """Tell whether somebody has refunded a record; a hold that was released late may still have something left."""
        return _REFUND + record.charge_id in self.records

    def name_of(self, record: SpendRecord) -> str:
        """Return the name of a record's user, empty for one that is not known."""
        return self.names.get(record.user_id, "")


def links_of(records: Sequence[SpendRecord]) -> Links:
    """Return what records refer to: one query for users and one for records, whatever their number."""
    names = user_names({record.user_id for record in records})
    ids = {name for record in records for name in related_ids(record)}
    found = SpendRecord.objects.filter(charge_id__in=ids) if ids else ()
    return Links(names, {record.charge_id: record for record in found})


def related_ids(record: SpendRecord) -> list[str]:
    """Return the charge ids that a record's original or refund has, if there is one."""
    return [original] if (original := original_id(record)) else refund_ids(record)


def original_id(record: SpendRecord) -> str:
    """Return the charge id of what a refund takes back, empty for what is no refund."""
    if record.kind != SpendRecord.Kind.REFUND:
        return ""
    noted: Any = record.metadata.get("refund_of") if isinstance(record.metadata, dict) else None
    if isinstance(noted, str) and noted:
        return noted
    if record.charge_id.startswith(_REFUND):
        return record.charge_id.removeprefix(_REFUND)
    return _EXPIRED + record.hold_id if record.hold_id and record.charge_id.endswith(_REVERSAL) else ""


def refund_ids(record: SpendRecord) -> list[str]:
    """Return the charge ids that a refund of a record can have; that of an expired hold is also a release of it."""
    if record.kind == SpendRecord.Kind.REFUND:
        return []
    ids = [_REFUND + record.charge_id]
    return [*ids, record.hold_id + _REVERSAL] if record.kind == SpendRecord.Kind.EXPIRED and record.hold_id else ids
