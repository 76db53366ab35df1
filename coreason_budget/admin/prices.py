"""The admin of the prices that go before those of the settings and of litellm."""

from __future__ import annotations

from typing import TYPE_CHECKING

from django.contrib import admin
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import ModelPrice
from . import words
from .conflicts import SEEN, ConflictForm, OneAtATimeMixin
from .fields import AMOUNT_FIELDS

if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Any

    from django.http import HttpRequest
    from django.utils.safestring import SafeString

    PriceModelAdmin = admin.ModelAdmin[ModelPrice]
else:
    PriceModelAdmin = admin.ModelAdmin

__all__ = ["ModelPriceAdmin"]


@admin.register(ModelPrice)
class ModelPriceAdmin(OneAtATimeMixin, PriceModelAdmin):
    """Prices of models, in USD per million tokens."""

    form = ConflictForm
    formfield_overrides = AMOUNT_FIELDS
    list_display = ("model_name", "input", "output", "cached_input", "cache_write", "is_free", "note", "changed")
    list_filter = ("is_free",)
    search_fields = ("model", "note")
    search_help_text = _("Searches models and notes. All prices are for a million tokens.")
    ordering = ("model",)
    readonly_fields = ("created", "changed")

    class Media:
        css = {"all": ["coreason_budget/admin.css"]}  # noqa: RUF012 - so declared by Django

    def get_fieldsets(self, request: HttpRequest, obj: ModelPrice | None = None) -> list[tuple[Any, Any]]:
        """Return the form as it is filled in; for those who may only look, with the amounts in words."""
        if obj is not None and not self.has_change_permission(request, obj):
            names = ["model_name", "input", "output", "cached_input", "cache_write", "is_free", "note"]
            return [(None, {"fields": names}), _changes()]
        plain = ["model", "input_usd_per_million", "output_usd_per_million", "is_free", "note"]
        plain += [] if obj is None else [SEEN]
        caching = ["cached_input_usd_per_million", "cache_write_usd_per_million"]
        fieldsets: list[tuple[Any, Any]] = [(None, {"fields": plain}), (gettext("Caching"), {"fields": caching})]
        return fieldsets if obj is None else [*fieldsets, _changes()]

    @admin.display(description=_("model"), ordering="model")
    def model_name(self, price: ModelPrice) -> SafeString:
        """Show the model's name."""
        return words.named(price.model)

    @admin.display(description=_("input"), ordering="input_usd_per_million")
    def input(self, price: ModelPrice) -> str:
        """Show what a million tokens of input cost."""
        return words.usd(price.input_usd_per_million)

    @admin.display(description=_("output"), ordering="output_usd_per_million")
    def output(self, price: ModelPrice) -> str:
        """Show what a million tokens of output cost."""
        return words.usd(price.output_usd_per_million)

    @admin.display(description=_("cached input"), ordering="cached_input_usd_per_million")
    def cached_input(self, price: ModelPrice) -> str:
        """Show what a million tokens of input cost that the provider had cached."""
        return _or_input(price.cached_input_usd_per_million)

    @admin.display(description=_("cache write"), ordering="cache_write_usd_per_million")
    def cache_write(self, price: ModelPrice) -> str:
        """Show what it costs to have a million tokens of input cached."""
        return _or_input(price.cache_write_usd_per_million)

    @admin.display(description=_("created"))
    def created(self, price: ModelPrice) -> SafeString:
        """Show when it was made."""
        return words.instant(price.created_at)

    @admin.display(description=_("changed"), ordering="updated_at")
    def changed(self, price: ModelPrice) -> SafeString:
        """Show when it was saved last."""
        return words.instant(price.updated_at)


def _or_input(usd: Decimal | None) -> str:
    return gettext("as input") if usd is None else words.usd(usd)


def _changes() -> tuple[Any, Any]:
    return (gettext("Changes"), {"fields": ["created", "changed"]})
