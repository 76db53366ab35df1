"""Tables: what the database itself refuses, what forms refuse, and which limit counts."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from django.contrib.auth.models import Permission, User
from django.core.exceptions import ValidationError
from django.core.management import call_command
from django.db import IntegrityError, models, transaction
from django.utils.translation import override

from coreason_budget.models import BudgetLimit, GlobalLimit, ModelPrice, ProjectLimit, SpendRecord, UserLimit
from coreason_budget.scopes import GLOBAL, Scope, Subject

NOON = datetime(2026, 11, 23, 12, tzinfo=UTC)
MOMENT = timedelta(microseconds=1)

pytestmark = pytest.mark.django_db


@pytest.fixture
def user() -> User:
    return User.objects.create_user("ann")


@pytest.fixture(params=["userlimit", "projectlimit", "globallimit"])
def table(request: pytest.FixtureRequest, user: User) -> tuple[str, type[BudgetLimit], dict[str, Any]]:
    """The three limit tables: name, model, and the columns that say whose limit it is."""
    name: str = request.param
    kinds: dict[str, tuple[type[BudgetLimit], dict[str, Any]]] = {
        "userlimit": (UserLimit, {"user": user}),
        "projectlimit": (ProjectLimit, {"project_id": "apollo"}),
        "globallimit": (GlobalLimit, {}),
    }
    return (name, *kinds[name])


def refusal(make: type[models.Model], **values: Any) -> str:
    """Return what the database says to a row that no form has seen."""
    with pytest.raises(IntegrityError) as caught, transaction.atomic():
        make._default_manager.bulk_create([make(**values)])
    return str(caught.value)


@pytest.mark.parametrize(
    ("values", "constraint"),
    [
        ({"amount_usd": "-0.000000001"}, "amount"),
        ({"amount_usd": "1000000000.01"}, "amount"),
        ({"period": "year"}, "period"),
        ({"period": ""}, "period"),
        ({"boost_usd": "-1", "boost_until": NOON}, "boost"),
        ({"boost_usd": "1000000001", "boost_until": NOON}, "boost"),
        ({"boost_usd": "1"}, "boost"),
        ({"boost_until": NOON}, "boost"),
    ],
)
def test_the_database_refuses_limits_that_make_no_sense(
    table: tuple[str, type[BudgetLimit], dict[str, Any]], values: dict[str, Any], constraint: str
) -> None:
    name, limit, subject = table

    assert f"coreason_budget_{name}_{constraint}" in refusal(limit, **subject, **values)


@pytest.mark.parametrize(
    "values",
    [
        {"amount_usd": None},
        {"amount_usd": 0},
        {"amount_usd": "0.000000001"},
        {"amount_usd": 1_000_000_000},
        {"amount_usd": 1, "boost_usd": 0, "boost_until": NOON},
        {"amount_usd": None, "boost_usd": 1_000_000_000, "boost_until": NOON},
        {"amount_usd": 1, "period": "week"},
        {"amount_usd": 1, "period": "month"},
    ],
)
def test_sane_limits_are_kept_exactly(
    table: tuple[str, type[BudgetLimit], dict[str, Any]], values: dict[str, Any]
) -> None:
    _, limit, subject = table
    made = limit._default_manager.create(**subject, **values)
    made.full_clean()
    made.refresh_from_db()

    for name, value in values.items():
        expected = Decimal(value) if name.endswith("_usd") and value is not None else value
        assert getattr(made, name) == expected


def test_a_subject_has_one_limit_for_each_period(table: tuple[str, type[BudgetLimit], dict[str, Any]]) -> None:
    _, limit, subject = table
    limit._default_manager.create(**subject, period="day", amount_usd=1)
    limit._default_manager.create(**subject, period="week", amount_usd=1)

    assert "UNIQUE" in refusal(limit, **subject, period="day", amount_usd=2).upper()
    with pytest.raises(ValidationError, match=r"already exists|is violated"):
        limit(**subject, period="day", amount_usd=2).full_clean()


def test_uniqueness_has_a_name(table: tuple[str, type[BudgetLimit], dict[str, Any]]) -> None:
    name, limit, _ = table

    assert {constraint.name for constraint in limit._meta.constraints} == {
        f"coreason_budget_{name}_{each}" for each in ("once", "period", "amount", "boost")
    }


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"amount_usd": Decimal(-1)}, "amount_usd"),
        ({"amount_usd": Decimal("1000000000.1")}, "amount_usd"),
        ({"amount_usd": Decimal("0.0000000001")}, "amount_usd"),
        ({"boost_usd": Decimal(1)}, "boost_until"),
        ({"boost_until": NOON}, "boost_until"),
        ({"period": "year"}, "period"),
    ],
)
def test_a_form_names_the_field_that_is_wrong(values: dict[str, Any], field: str) -> None:
    with pytest.raises(ValidationError) as caught:
        GlobalLimit(**values).full_clean()

    assert field in caught.value.message_dict


@pytest.mark.parametrize("project_id", [" ", "a\nb", "\ud800", "x" * 201])
def test_a_form_refuses_projects_that_the_ledger_would_refuse(project_id: str) -> None:
    with pytest.raises(ValidationError) as caught:
        ProjectLimit(project_id=project_id, amount_usd=1).full_clean(validate_constraints=False)

    assert "project_id" in caught.value.message_dict


def test_the_boost_counts_until_it_ends_and_then_the_amount_is_back() -> None:
    limit = GlobalLimit(amount_usd=Decimal(10), boost_usd=Decimal(50), boost_until=NOON)

    assert limit.effective_usd(NOON - MOMENT) == 50
    assert limit.effective_usd(NOON) == 10
    assert limit.effective_usd(NOON + MOMENT) == 10


def test_a_boost_may_be_lower_than_the_limit_or_lift_a_block() -> None:
    assert GlobalLimit(amount_usd=None, boost_usd=Decimal(0), boost_until=NOON).effective_usd(NOON - MOMENT) == 0
    assert GlobalLimit(amount_usd=Decimal(0), boost_usd=Decimal(1), boost_until=NOON).effective_usd(NOON - MOMENT) == 1


def test_without_an_instant_it_is_now() -> None:
    limit = GlobalLimit(
        amount_usd=Decimal(10), boost_usd=Decimal(50), boost_until=datetime.now(UTC) + timedelta(days=1)
    )

    assert limit.effective_usd() == 50
    limit.boost_until = datetime.now(UTC) - timedelta(days=1)
    assert limit.effective_usd() == 10
    assert GlobalLimit(amount_usd=None).effective_usd() is None
    assert GlobalLimit(amount_usd=Decimal(0)).effective_usd() == 0


def test_limits_know_whose_they_are(user: User) -> None:
    assert UserLimit(user=user).subject == Subject(Scope.USER, str(user.pk))
    assert ProjectLimit(project_id="apollo").subject == Subject(Scope.PROJECT, "apollo")
    assert GlobalLimit().subject == GLOBAL
    assert [each.scope for each in (UserLimit, ProjectLimit, GlobalLimit)] == list(Scope)


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (None, "project apollo: unlimited / day"),
        (Decimal("10.500000000"), "project apollo: 10.5 USD / day"),
        (Decimal("1000.000000000"), "project apollo: 1000 USD / day"),
        (Decimal("0E-9"), "project apollo: 0 USD / day"),
        (5, "project apollo: 5 USD / day"),
        ("0.000000001", "project apollo: 0.000000001 USD / day"),
    ],
)
def test_limits_have_a_text_saved_or_not(amount: Any, text: str) -> None:
    assert str(ProjectLimit(project_id="apollo", amount_usd=amount)) == text


def test_limits_of_a_user_go_with_the_user(user: User) -> None:
    UserLimit.objects.create(user=user, amount_usd=1)

    user.delete()

    assert not UserLimit.objects.exists()


def test_the_database_refuses_negative_prices() -> None:
    for prices in ((-1, 1), (1, -1)):
        said = refusal(ModelPrice, model="m", input_usd_per_million=prices[0], output_usd_per_million=prices[1])
        assert "coreason_budget_modelprice_not_negative" in said


def test_a_model_has_one_price() -> None:
    ModelPrice.objects.create(model="gpt-4o", input_usd_per_million=1, output_usd_per_million=1)

    assert "UNIQUE" in refusal(ModelPrice, model="gpt-4o", input_usd_per_million=1, output_usd_per_million=1).upper()


def test_a_price_of_nothing_must_be_meant() -> None:
    price = ModelPrice(model="local", input_usd_per_million=Decimal(0), output_usd_per_million=Decimal(0))
    with pytest.raises(ValidationError) as caught:
        price.full_clean()
    assert "is_free" in caught.value.message_dict

    price.is_free = True
    price.full_clean()
    ModelPrice(model="in", input_usd_per_million=Decimal(0), output_usd_per_million=Decimal(1)).full_clean()
    assert str(price) == "local"


def record(**values: Any) -> SpendRecord:
    defaults = {"charge_id": "c1", "user_id": "7", "cost_nanos": 12_300_000, "at": NOON}
    return SpendRecord(**{**defaults, **values})


def test_the_database_refuses_records_of_no_known_kind() -> None:
    said = refusal(SpendRecord, charge_id="c", cost_nanos=1, at=NOON, kind="gift")

    assert "coreason_budget_spendrecord_kind" in said


def test_every_kind_is_one_that_the_database_knows() -> None:
    for kind in SpendRecord.Kind:
        record(charge_id=kind.value, kind=kind).save()

    assert SpendRecord.objects.count() == len(SpendRecord.Kind)


def test_a_charge_id_is_booked_once() -> None:
    record().save()

    assert "UNIQUE" in refusal(SpendRecord, charge_id="c1", cost_nanos=1, at=NOON).upper()


def test_a_record_is_shown_in_dollars() -> None:
    assert str(record()) == "c1: 0.0123 USD"
    assert str(record(cost_nanos=-1)) == "c1: -0.000000001 USD"
    assert record(cost_nanos=2**62).cost_usd == Decimal("4611686018.427387904")


def test_a_record_counts_in_the_accounts_of_its_call() -> None:
    assert list(record().subjects) == [Subject(Scope.USER, "7"), GLOBAL]
    assert list(record(project_id="apollo").subjects) == [
        Subject(Scope.USER, "7"),
        Subject(Scope.PROJECT, "apollo"),
        GLOBAL,
    ]


def test_the_total_of_records_is_exact() -> None:
    assert SpendRecord.objects.total_usd() == 0
    record(charge_id="a", cost_nanos=1).save()
    record(charge_id="b", cost_nanos=10**18).save()
    record(charge_id="c", cost_nanos=-3).save()

    assert SpendRecord.objects.total_usd() == Decimal("999999999.999999998")
    assert SpendRecord.objects.filter(charge_id="c").total_usd() == Decimal("-0.000000003")


def test_an_abstract_limit_is_nobodys() -> None:
    prop = BudgetLimit.__dict__["subject"]

    with pytest.raises(NotImplementedError):
        prop.fget(GlobalLimit())


@pytest.mark.parametrize(
    ("kind", "nanos", "refundable"),
    [
        ("charge", 1, True),
        ("expired", 1, True),
        ("charge", 0, False),
        ("refund", -1, False),
        ("refund", 1, False),
        ("adjustment", 1, False),
    ],
)
def test_charges_and_expired_holds_that_cost_something_are_refundable(
    kind: str, nanos: int, *, refundable: bool
) -> None:
    assert SpendRecord(kind=kind, cost_nanos=nanos).is_refundable is refundable


def test_there_is_a_permission_to_refund() -> None:
    permission = Permission.objects.get(content_type__app_label="coreason_budget", codename="refund_spendrecord")

    assert (permission.name, permission.content_type.model) == ("Can refund spend records", "spendrecord")


@pytest.mark.parametrize("language", ["en", "de"])
def test_the_migrations_make_the_tables_of_the_models(language: str, capsys: pytest.CaptureFixture[str]) -> None:
    with override(language):
        call_command("makemigrations", "coreason_budget", check=True, dry_run=True)

    assert capsys.readouterr().out == "No changes detected in app 'coreason_budget'\n"
