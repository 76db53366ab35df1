"""From the admin's form to the next call: what is saved over HTTP holds at once, in every process."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from coreason_budget import BudgetExceededError, BudgetManager
from coreason_budget.models import GlobalLimit, ProjectLimit, UserLimit
from tests.conftest import server_backend

from .test_limit_form import filled

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_django import Settings

    from tests.servers import RealServer

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def elsewhere(real_server: RealServer, settings: Settings) -> Iterator[BudgetManager]:
    """Return the budget as another process has it: with connections, threads and caches of its own."""
    settings.CACHES = {**settings.CACHES, "default": server_backend("real", real_server).alias}
    manager = BudgetManager()
    yield manager
    manager.close_sync()


def test_a_lowered_limit_refuses_the_next_call(boss, ann, elsewhere):
    limit = UserLimit.objects.create(user=ann, amount_usd=10)
    elsewhere.charge(ann.pk, "3")
    assert elsewhere.check(ann.pk, amount="5")

    boss.post("userlimit_change", limit.pk, **filled(amount_usd="3.5"))

    with pytest.raises(BudgetExceededError) as refused:
        elsewhere.check(ann.pk, amount="5")
    assert (refused.value.scope, refused.value.limit, refused.value.spent) == ("user", 3.5, 3)
    assert elsewhere.check(ann.pk, amount="0.5")


def test_a_raised_limit_lets_the_next_call_through(boss, ann, elsewhere):
    elsewhere.charge(ann.pk, "10")
    with pytest.raises(BudgetExceededError):
        elsewhere.check(ann.pk)

    boss.post("userlimit_add", **filled(user=ann.pk, amount_usd="11"))

    assert elsewhere.check(ann.pk, amount="1")


def test_zero_blocks_at_once(boss, ann, elsewhere):
    limit = ProjectLimit.objects.create(project_id="apollo", amount_usd=10)
    assert elsewhere.check(ann.pk, "apollo")

    boss.post("projectlimit_change", limit.pk, **filled(amount_usd="0"))

    with pytest.raises(BudgetExceededError) as refused:
        elsewhere.check(ann.pk, "apollo")
    assert (refused.value.scope, refused.value.limit, refused.value.retry_after) == ("project", 0, None)


def test_block_now_blocks_and_a_boost_lifts_it(boss, ann, elsewhere):
    limit = GlobalLimit.objects.create(amount_usd=10)
    assert elsewhere.check(ann.pk)

    boss.act("globallimit", "block_now", [limit], confirmed="yes", reason="")
    with pytest.raises(BudgetExceededError):
        elsewhere.check(ann.pk)

    boss.act("globallimit", "boost_today", [limit], confirmed="yes", amount="1", reason="")
    assert elsewhere.check(ann.pk, amount="1")


def test_a_deleted_limit_gives_way_to_the_default(boss, ann, elsewhere):
    limit = UserLimit.objects.create(user=ann, amount_usd=0)
    with pytest.raises(BudgetExceededError):
        elsewhere.check(ann.pk)

    boss.act("userlimit", "delete_selected", [limit], post="yes", confirmed="")

    assert elsewhere.check(ann.pk, amount="10")
