"""The rows behind the ledger: limits and prices that admins edit, and the records of what was spent."""

from __future__ import annotations

from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from django.conf import settings
from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from .money import MAX_USD, to_usd
from .periods import Period
from .scopes import MAX_ID_LENGTH, Scope, Subject, clean_id

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

__all__ = ["BudgetLimit", "DailySum", "GlobalLimit", "ModelPrice", "ProjectLimit", "SpendRecord", "UserLimit"]

_AMOUNT = [MinValueValidator(0), MaxValueValidator(MAX_USD)]


class PeriodChoices(models.TextChoices):
    """The calendar periods as choices of a form."""

    DAY = Period.DAY.value, _("day")
    WEEK = Period.WEEK.value, _("week")
    MONTH = Period.MONTH.value, _("month")


def _limit_constraints(name: str, *subject: str) -> list[models.BaseConstraint]:
    """Return the named constraints of a limit table: one row per subject and period, sane amounts."""
    return [
        models.UniqueConstraint(fields=[*subject, "period"], name=f"coreason_budget_{name}_once"),
        models.CheckConstraint(
            condition=models.Q(period__in=PeriodChoices.values), name=f"coreason_budget_{name}_period"
        ),
        models.CheckConstraint(
            condition=models.Q(amount_usd__isnull=True) | models.Q(amount_usd__gte=0, amount_usd__lte=MAX_USD),
            name=f"coreason_budget_{name}_amount",
        ),
        models.CheckConstraint(
            condition=models.Q(boost_usd__isnull=True, boost_until__isnull=True)
            | models.Q(boost_usd__isnull=False, boost_usd__gte=0, boost_usd__lte=MAX_USD, boost_until__isnull=False),
            name=f"coreason_budget_{name}_boost",
        ),
    ]


class BudgetLimit(models.Model):
    """What a subject may spend in a period, in USD. It replaces the default of the settings."""

    scope: ClassVar[Scope]

    period = models.CharField(_("period"), max_length=8, choices=PeriodChoices, default=PeriodChoices.DAY)
    amount_usd = models.DecimalField(
        _("limit (USD)"),
        max_digits=19,
        decimal_places=9,
        null=True,
        blank=True,
        validators=_AMOUNT,
        help_text=_("Empty means unlimited; 0 blocks every call."),
    )
    boost_usd = models.DecimalField(
        _("boosted limit (USD)"),
        max_digits=19,
        decimal_places=9,
        null=True,
        blank=True,
        validators=_AMOUNT,
        help_text=_("Counts instead of the limit until the boost ends."),
    )
    boost_until = models.DateTimeField(_("boost ends"), null=True, blank=True)
    reason = models.CharField(_("reason"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        abstract = True

    def __str__(self) -> str:
        amount = _("unlimited") if self.amount_usd is None else f"{Decimal(self.amount_usd).normalize():f} USD"
        return f"{self._whose()}: {amount} / {self.period}"

    def _whose(self) -> str:
        return self.subject.label

    @property
    def subject(self) -> Subject:
        """Whose limit it is."""
        raise NotImplementedError

    def clean(self) -> None:
        """Refuse a boost without its end, and an end without its boost."""
        super().clean()
        if (self.boost_usd is None) != (self.boost_until is None):
            raise ValidationError({"boost_until": _("A boost needs both an amount and an end.")})

    def is_boosted(self, now: datetime | None = None) -> bool:
        """Tell whether the boost counts at an instant (default: now): it is set and has not ended."""
        return (
            self.boost_usd is not None and self.boost_until is not None and (now or timezone.now()) < self.boost_until
        )

    def effective_usd(self, now: datetime | None = None) -> Decimal | None:
        """Return the limit that counts at an instant (default: now): the boost until it ends, else the amount."""
        return self.boost_usd if self.is_boosted(now) else self.amount_usd


class UserLimit(BudgetLimit):
    """The limit of one user in one period."""

    scope = Scope.USER
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="budget_limits", verbose_name=_("user")
    )

    class Meta:
        verbose_name = _("user limit")
        verbose_name_plural = _("user limits")
        constraints: ClassVar[list[models.BaseConstraint]] = _limit_constraints("userlimit", "user")

    @property
    def subject(self) -> Subject:
        """The user's account."""
        return Subject(Scope.USER, str(self.user_id))

    def _whose(self) -> str:
        if not UserLimit.user.is_cached(self):  # what names an object must not ask the database
            return super()._whose()
        return f"user {self.user.get_username()}"


def validate_project_id(value: str) -> None:
    """Refuse ids that the ledger would refuse. Raise ValidationError."""
    try:
        clean_id(value, "project_id")
    except ValueError as error:
        raise ValidationError(str(error)) from error


class ProjectLimit(BudgetLimit):
    """The limit of one project in one period."""

    scope = Scope.PROJECT
    project_id = models.CharField(_("project"), max_length=MAX_ID_LENGTH, validators=[validate_project_id])

    class Meta:
        verbose_name = _("project limit")
        verbose_name_plural = _("project limits")
        constraints: ClassVar[list[models.BaseConstraint]] = _limit_constraints("projectlimit", "project_id")

    @property
    def subject(self) -> Subject:
        """The project's account."""
        return Subject(Scope.PROJECT, self.project_id)


class GlobalLimit(BudgetLimit):
    """The limit of the whole site in one period."""

    scope = Scope.GLOBAL

    class Meta:
        verbose_name = _("global limit")
        verbose_name_plural = _("global limits")
        constraints: ClassVar[list[models.BaseConstraint]] = _limit_constraints("globallimit")

    @property
    def subject(self) -> Subject:
        """The site's account."""
        return Subject(Scope.GLOBAL)


def _price(label: Any, **options: Any) -> models.DecimalField[Any, Any]:
    return models.DecimalField(label, max_digits=24, decimal_places=12, validators=_AMOUNT, **options)


class ModelPrice(models.Model):
    """The price of a model in USD per million tokens. It goes before the settings and before litellm's price map."""

    model = models.CharField(_("model"), max_length=MAX_ID_LENGTH, unique=True)
    input_usd_per_million = _price(_("input, USD per million tokens"))
    output_usd_per_million = _price(_("output, USD per million tokens"))
    cached_input_usd_per_million = _price(
        _("cached input, USD per million tokens"),
        null=True,
        blank=True,
        help_text=_("Empty: cached input costs the same as input."),
    )
    cache_write_usd_per_million = _price(
        _("cache write, USD per million tokens"),
        null=True,
        blank=True,
        help_text=_("Empty: writing the cache costs the same as input."),
    )
    is_free = models.BooleanField(
        _("free"), default=False, help_text=_("A price of 0 is only accepted for a model that is marked as free.")
    )
    note = models.CharField(_("note"), max_length=500, blank=True)
    created_at = models.DateTimeField(_("created"), auto_now_add=True)
    updated_at = models.DateTimeField(_("changed"), auto_now=True)

    class Meta:
        verbose_name = _("model price")
        verbose_name_plural = _("model prices")
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(input_usd_per_million__gte=0, output_usd_per_million__gte=0),
                name="coreason_budget_modelprice_not_negative",
            ),
        ]

    def __str__(self) -> str:
        return self.model

    def clean(self) -> None:
        """Refuse a price of nothing unless the row says that the model is free."""
        super().clean()
        if not self.is_free and not self.input_usd_per_million and not self.output_usd_per_million:
            raise ValidationError({"is_free": _("Both prices are 0: tick “free” if that is meant.")})


class SpendRecordQuerySet(models.QuerySet["SpendRecord"]):
    """Records of spend, with the sums that reports need."""

    def total_usd(self) -> Decimal:
        """Return the sum of the costs in USD."""
        return to_usd(self.aggregate(nanos=models.Sum("cost_nanos"))["nanos"] or 0)


class SpendRecord(models.Model):
    """
    One booked charge. Together with the journal these rows are the truth; the accounts in Redis are a cache of them.

    ``journal_id`` orders records as the ledger booked them. It is null for a record that was written while Redis was
    down and that the ledger does not know of yet, 0 once it does. ``at`` is the ledger's time, in UTC.
    """

    class Kind(models.TextChoices):
        """What kind of booking it is."""

        CHARGE = "charge", _("charge")
        EXPIRED = "expired", _("expired hold")
        REFUND = "refund", _("refund")
        ADJUSTMENT = "adjustment", _("adjustment")

    charge_id = models.CharField(_("charge id"), max_length=MAX_ID_LENGTH + 8, unique=True)
    journal_id = models.BigIntegerField(_("journal id"), null=True, blank=True)
    hold_id = models.CharField(_("hold"), max_length=MAX_ID_LENGTH, blank=True)
    user_id = models.CharField(_("user"), max_length=MAX_ID_LENGTH, blank=True)
    project_id = models.CharField(_("project"), max_length=MAX_ID_LENGTH, blank=True)
    model = models.CharField(_("model"), max_length=MAX_ID_LENGTH, blank=True)
    cost_nanos = models.BigIntegerField(_("cost (nano-USD)"))
    input_tokens = models.BigIntegerField(_("input tokens"), null=True, blank=True)
    output_tokens = models.BigIntegerField(_("output tokens"), null=True, blank=True)
    kind = models.CharField(_("kind"), max_length=12, choices=Kind, default=Kind.CHARGE)
    at = models.DateTimeField(_("booked at"))
    metadata = models.JSONField(_("metadata"), default=dict, blank=True)

    objects = SpendRecordQuerySet.as_manager()

    class Meta:
        verbose_name = _("spend record")
        verbose_name_plural = _("spend records")
        get_latest_by = "at"
        permissions = (
            ("refund_spendrecord", _("Can refund spend records")),
            ("reset_spendrecord", _("Can reset what is spent in a window")),
        )
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["user_id", "at"], name="coreason_budget_user_at"),
            models.Index(fields=["project_id", "at"], name="coreason_budget_project_at"),
            models.Index(fields=["kind", "at"], name="coreason_budget_kind_at"),
            models.Index(fields=["model", "at"], name="coreason_budget_model_at"),
            models.Index(fields=["at", "journal_id", "cost_nanos"], name="coreason_budget_at"),
            # All that reports and the overview sum up, in the order of time: they read no rows.
            models.Index(
                fields=[
                    "at",
                    "user_id",
                    "project_id",
                    "model",
                    "kind",
                    "cost_nanos",
                    "input_tokens",
                    "output_tokens",
                ],
                name="coreason_budget_sums",
            ),
            models.Index(fields=["journal_id"], name="coreason_budget_journal"),
        ]
        constraints: ClassVar[list[models.BaseConstraint]] = [
            models.CheckConstraint(
                condition=models.Q(kind__in=["charge", "expired", "refund", "adjustment"]),
                name="coreason_budget_spendrecord_kind",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.charge_id}: {self.cost_usd:f} USD"

    @property
    def cost_usd(self) -> Decimal:
        """The cost in USD; negative for a refund."""
        return to_usd(self.cost_nanos)

    @property
    def is_refundable(self) -> bool:
        """Whether it is of a kind that can be refunded, once: a charge or an expired hold that cost something."""
        return self.kind in {self.Kind.CHARGE, self.Kind.EXPIRED} and self.cost_nanos > 0

    @property
    def subjects(self) -> Iterable[Subject]:
        """The accounts that the record counts in."""
        project = [Subject(Scope.PROJECT, self.project_id)] if self.project_id else []
        return [Subject(Scope.USER, self.user_id), *project, Subject(Scope.GLOBAL)]


class DailySum(models.Model):
    """
    What pruned records came to: those of one day, user, project, model and kind. See ``manage.py budget_prune``.

    There may be several of the same, which add up: two who prune at once need not agree on one.

    A record is either in its table or in a sum, so what was spent is what both tables make (``history.History``).
    ``at`` is the middle of the day, in UTC: whoever asks for whole days finds it as he would have found the records.
    """

    at = models.DateTimeField()
    user_id = models.CharField(max_length=MAX_ID_LENGTH, blank=True)
    project_id = models.CharField(max_length=MAX_ID_LENGTH, blank=True)
    model = models.CharField(max_length=MAX_ID_LENGTH, blank=True)
    kind = models.CharField(max_length=12, choices=SpendRecord.Kind)
    cost_nanos = models.BigIntegerField()
    given_back_nanos = models.BigIntegerField()
    records = models.BigIntegerField()
    input_tokens = models.BigIntegerField()
    output_tokens = models.BigIntegerField()

    class Meta:
        default_permissions = ()
        indexes: ClassVar[list[models.Index]] = [
            models.Index(fields=["at", "user_id"], name="coreason_budget_sum_at"),
            models.Index(fields=["user_id", "at"], name="coreason_budget_sum_user"),
            models.Index(fields=["project_id", "at"], name="coreason_budget_sum_project"),
        ]

    def __str__(self) -> str:
        return f"{self.at:%Y-%m-%d} {self.user_id}: {to_usd(self.cost_nanos):f} USD"
