"""The admin of the prices that go before those of the settings and of litellm."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.urls import path
from django.utils.html import format_html, format_html_join
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from ..models import ModelPrice
from . import models_seen, words
from .conflicts import SEEN, ConflictForm, OneAtATimeMixin
from .fields import AMOUNT_FIELDS
from .price_comparison import beside, is_far_off, litellms

if TYPE_CHECKING:
    from decimal import Decimal
    from typing import Any

    from django.http import HttpRequest, HttpResponse
    from django.urls import URLPattern
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
    readonly_fields = ("litellm", "created", "changed")

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
        beside_it = (gettext("For comparison"), {"fields": ["litellm"]})
        return fieldsets if obj is None else [*fieldsets, beside_it, _changes()]

    def get_urls(self) -> list[URLPattern]:
        """Return the pages of prices, and that of the models that are in use."""
        models_url = path("models/", self.admin_site.admin_view(self.models_view), name="coreason_budget_models")
        return [models_url, *super().get_urls()]

    def models_view(self, request: HttpRequest) -> HttpResponse:
        """Show the models that are used, or refused because they have no price. It tells what was spent."""
        if not (self.has_view_permission(request) and request.user.has_perm("coreason_budget.view_spendrecord")):
            raise PermissionDenied
        return models_seen.page(self, request)

    def save_model(self, request: HttpRequest, obj: ModelPrice, form: Any, change: bool) -> None:  # noqa: FBT001 - Django's
        """Save the price, and ask if it is of another order than litellm's."""
        super().save_model(request, obj, form, change)
        if is_far_off(obj):
            said = gettext(
                "The price of %(model)s is far from litellm's. Prices are in USD for a million tokens: was it entered "
                "for one token, or for a thousand?"
            )
            self.message_user(request, said % {"model": words.name(obj.model)}, messages.WARNING)

    @admin.display(description=_("model"), ordering="model")
    def model_name(self, price: ModelPrice) -> SafeString:
        """Show the model's name."""
        return words.named(price.model)

    @admin.display(description=_("input"), ordering="input_usd_per_million")
    def input(self, price: ModelPrice) -> SafeString:
        """Show what a million tokens of input cost, and litellm's price of them."""
        return _compared(price, "input_usd_per_million")

    @admin.display(description=_("output"), ordering="output_usd_per_million")
    def output(self, price: ModelPrice) -> SafeString:
        """Show what a million tokens of output cost, and litellm's price of them."""
        return _compared(price, "output_usd_per_million")

    @admin.display(description=_("cached input"), ordering="cached_input_usd_per_million")
    def cached_input(self, price: ModelPrice) -> SafeString:
        """Show what a million tokens of input cost that the provider had cached, and litellm's price of them."""
        return _compared(price, "cached_input_usd_per_million")

    @admin.display(description=_("cache write"), ordering="cache_write_usd_per_million")
    def cache_write(self, price: ModelPrice) -> SafeString:
        """Show what it costs to have a million tokens of input cached, and litellm's price of it."""
        return _compared(price, "cache_write_usd_per_million")

    @admin.display(description=_("litellm's prices"))
    def litellm(self, price: ModelPrice) -> SafeString:
        """Show what litellm's map says of the model, beside what is saved."""
        listed = {name: usd for name, usd in litellms(price.model).items() if usd is not None}
        if not listed:
            return format_html('<span class="budget-nobody">{}</span>', gettext("litellm has no price of this model."))
        ours = {name: _counted(price, name) for name in listed}
        pairs = ((_LABELS[name], beside(ours[name], usd)) for name, usd in listed.items())
        return format_html(
            '<dl class="budget-now">{}</dl>', format_html_join("", "<div><dt>{}</dt><dd>{}</dd></div>", pairs)
        )

    @admin.display(description=_("created"))
    def created(self, price: ModelPrice) -> SafeString:
        """Show when it was made."""
        return words.instant(price.created_at)

    @admin.display(description=_("changed"), ordering="updated_at")
    def changed(self, price: ModelPrice) -> SafeString:
        """Show when it was saved last."""
        return words.instant(price.updated_at)


_LABELS: Final = {
    "input_usd_per_million": _("input"),
    "output_usd_per_million": _("output"),
    "cached_input_usd_per_million": _("cached input"),
    "cache_write_usd_per_million": _("cache write"),
}


def _compared(price: ModelPrice, name: str) -> SafeString:
    own: Decimal | None = getattr(price, name)
    shown = gettext("as input") if own is None else words.usd(own)
    return format_html("{} {}", shown, beside(_counted(price, name), litellms(price.model).get(name)))


def _counted(price: ModelPrice, name: str) -> Decimal:
    """Return the price that counts: that of input where there is none of its own."""
    own: Decimal | None = getattr(price, name)
    return price.input_usd_per_million if own is None else own


def _changes() -> tuple[Any, Any]:
    return (gettext("Changes"), {"fields": ["created", "changed"]})
