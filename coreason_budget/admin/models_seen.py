"""The models that calls name: which were used in the past 30 days, and which were refused for want of a price."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import django
from django.db.models import Q
from django.template.response import TemplateResponse
from django.urls import reverse
from django.utils import timezone
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from .. import service
from ..exceptions import BudgetError
from ..history import CHARGES, NANOS, History
from ..models import ModelPrice
from ..money import to_usd
from ..periods import Period, window_at
from ..pricing import Source, listing, read_price_overrides
from ..refusals.store import unknown_models
from . import words
from .overview_terms import SHOWN_DAYS, Terms
from .price_comparison import litellms, price_row

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from django.contrib.admin import ModelAdmin
    from django.http import HttpRequest, HttpResponse
    from django.utils.functional import _StrPromise
    from django.utils.safestring import SafeString

    from ..pricing import Listing
    from ..refusals.store import UnknownModel

__all__ = ["page"]

#: The page lists so many models that were used, those that cost most.
MOST: Final = 200

_SOURCES: Final[dict[Source, _StrPromise]] = {
    Source.ADMIN: gettext_lazy("own price"),
    Source.SETTINGS: gettext_lazy("settings"),
    Source.LITELLM: gettext_lazy("litellm"),
    Source.NONE: gettext_lazy("none: calls are refused"),
}


@dataclass(frozen=True, slots=True)
class Used:
    """A model with what it cost (nano-USD), and for how many calls."""

    name: str
    nanos: int
    calls: int


@dataclass(frozen=True, slots=True)
class Row:
    """A line of the page: a model, its price now, and where to set another."""

    name: SafeString
    figures: Sequence[SafeString | str]
    source: Source
    source_name: _StrPromise
    price: str
    url: str
    link_text: str


def page(model_admin: ModelAdmin[ModelPrice], request: HttpRequest) -> HttpResponse:
    """Return the page: one query of records, one of prices, and two round trips to Redis."""
    request.current_app = model_admin.admin_site.name  # read by {% url %}
    terms = Terms.of_days_until(window_at(Period.DAY, timezone.now(), service.manager().config.time_zone).first_day)
    used = _used(terms)
    refused, problem = _refused()
    prices = _Prices(model_admin, request)
    return TemplateResponse(
        request,
        "admin/coreason_budget/models.html",
        {
            **model_admin.admin_site.each_context(request),
            "title": _("Models in use"),
            "opts": model_admin.opts,
            "media": model_admin.media,
            "breadcrumbs_are_list": django.VERSION >= (6, 1),
            "days": SHOWN_DAYS,
            "used": [prices.row(each.name, [words.number(each.calls), _spent(each)]) for each in used[:MOST]],
            "most": words.number(MOST) if len(used) > MOST else "",
            "refused": [
                prices.row(each.name, [words.number(each.times), words.instant(each.last)]) for each in refused
            ],
            "problem": problem,
        },
    )


def _used(terms: Terms) -> list[Used]:
    """Return the models of these days, those that cost most: one query, a range of an index."""
    spent = terms.of_days(History(), service.manager().config.time_zone).filter(~Q(model=""))
    rows = spent.sums_by(["model"], {"nanos": NANOS, "calls": CHARGES}, MOST + 1)
    return [Used(model, sums["nanos"], sums["calls"]) for (model,), sums in rows]


def _refused() -> tuple[Iterable[UnknownModel], str]:
    """Return the models that were asked for without a price, and why nothing is known of them if it is so."""
    try:
        budget = service.manager()
        return budget.drive(unknown_models(budget.ledger)), ""
    except BudgetError as error:
        return (), str(error)


def _spent(used: Used) -> SafeString:
    return words.exact(to_usd(used.nanos))


class _Prices:
    """What models cost now, and where whoever asks may set that."""

    def __init__(self, model_admin: ModelAdmin[ModelPrice], request: HttpRequest) -> None:
        own = ModelPrice.objects.in_bulk(field_name="model")
        self._rows = {name: price_row(price) for name, price in own.items()}
        self._pks = {name: price.pk for name, price in own.items()}
        self._overrides = read_price_overrides(service.manager().config.model_price_overrides)
        self._site = model_admin.admin_site.name
        self._may_add = model_admin.has_add_permission(request)

    def row(self, name: str, figures: Sequence[SafeString | str]) -> Row:
        found = listing(name, self._rows, self._overrides)
        url, text = self._link(name, found)
        return Row(words.named(name), figures, found.source, _SOURCES[found.source], _price(found), url, text)

    def _link(self, name: str, found: Listing) -> tuple[str, str]:
        """Return where the price is set: the form of its own row, or that of a new one, filled in."""
        if name in self._pks:
            return self._url("change", self._pks[name]), _("Own price")
        if not self._may_add:
            return "", ""
        known = {field: f"{usd.normalize():f}" for field, usd in litellms(name).items() if usd is not None}
        values = known if found.source is Source.LITELLM else {}
        return self._url("add", query={"model": name, **values}), _("Set a price")

    def _url(self, view: str, *args: object, query: dict[str, Any] | None = None) -> str:
        return reverse(f"admin:coreason_budget_modelprice_{view}", args=args, query=query, current_app=self._site)


def _price(found: Listing) -> str:
    if found.price is None or found.source is Source.NONE:
        return words.NOTHING
    told = {"input": words.usd(found.price.input), "output": words.usd(found.price.output)}
    return _("%(input)s in, %(output)s out") % told
