"""
For your own tests: budgets in memory, fresh and empty for every test, that never touch a real Redis.

With unittest::

    class ChatTests(IsolatedBudgetsMixin, TestCase):
        def test_a_visitor_who_has_spent_it_all(self):
            with override_limits(daily_user="1.00"):
                service.charge(self.ann.pk, "1.00")
                self.assertEqual(self.client.post("/chat/").status_code, 429)

With pytest, for all tests, in ``conftest.py``::

    from coreason_budget.testing import isolated_budgets_fixture  # noqa: F401

    pytestmark = pytest.mark.usefixtures("isolated_budgets")  # in the modules that spend, or name it as an argument

Needs fakeredis: ``pip install 'django-coreason-budget[testing]'``. It does not matter what ``CACHES`` and
``COREASON_BUDGET`` say, also not in a nested ``override_settings``.

In a ``TestCase`` the ledger writes on the test's own connection, so records and limits are seen at once and are rolled
back with the test; what was spent in ``setUpTestData`` counts in every test. There, and only there, an ``atomic()``
block that is rolled back takes the records of its charges with it, and a limit that it saved is obeyed for up to
LIMITS_TTL. In a ``TransactionTestCase`` a charge inside ``atomic()`` is written after the block,
by another thread; ``service.flush()`` waits for it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final, TypeVar
from unittest import TestCase

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, connections, router
from django.test.utils import TestContextDecorator, override_settings

from . import service
from .conf import SETTING, BudgetConfig
from .exceptions import BudgetConfigurationError
from .ledger import isolation
from .ledger.connection import Connections
from .ledger.database import flush_all, loop_is_running
from .refusals import recorder

if TYPE_CHECKING:
    from collections.abc import Iterator
    from unittest import TestResult

    from django.db.backends.base.base import BaseDatabaseWrapper

    from .money import Amount

    #: The mixin is used with a TestCase: this is what it finds there.
    _Base = TestCase
else:
    _Base = object

__all__ = ["IsolatedBudgetsMixin", "isolated_budgets", "isolated_budgets_fixture", "override_limits"]

Case = TypeVar("Case", bound=TestCase)

KEEP: Final[Any] = type("Keep", (), {"__repr__": lambda _: "<as it is>"})()
FLUSH_SECONDS: Final = 5.0


class isolated_budgets(TestContextDecorator):  # noqa: N801 - used as a function, as override_settings is
    """
    Give a block, a test function or a TestCase class a ledger of its own, in memory and empty.

    As a class decorator it does what ``IsolatedBudgetsMixin`` does. Raise BudgetConfigurationError without fakeredis.
    """

    def __init__(self) -> None:
        super().__init__()
        self._entered: list[isolation.Isolation] = []

    def enable(self) -> None:
        """Enter the isolation."""
        isolated = isolation.Isolation(_FakeServer(), _own_connection())
        _flush()
        service.reset()
        isolation.enter(isolated)
        self._entered.append(isolated)

    def disable(self) -> None:
        """Write what is still to be written, then leave the isolation."""
        isolated = self._entered.pop()
        try:
            _flush()
            service.reset()
        finally:
            isolation.leave(isolated)
            isolated.server.close()

    def decorate_class(self, cls: type[Case]) -> type[Case]:
        """Isolate a TestCase class as the mixin does."""
        if not issubclass(cls, TestCase):
            raise TypeError("Can only decorate subclasses of unittest.TestCase")
        set_up_class, run = cls.setUpClass.__func__, cls.run  # type: ignore[attr-defined]

        def isolated_set_up_class(test_class: type[Case]) -> None:
            test_class.enterClassContext(isolated_budgets())
            set_up_class(test_class)

        def isolated_run(test: Case, result: TestResult | None = None) -> TestResult | None:
            with isolated_budgets():
                return run(test, result)

        cls.setUpClass = classmethod(isolated_set_up_class)  # type: ignore[assignment]
        cls.run = isolated_run  # type: ignore[assignment,method-assign]
        return cls


class IsolatedBudgetsMixin(_Base):
    """
    Gives every test of a TestCase class a fresh ledger: ``class ChatTests(IsolatedBudgetsMixin, TestCase)``.

    ``setUpTestData`` is isolated too.
    """

    @classmethod
    def setUpClass(cls) -> None:
        """Isolate what is done once for the class."""
        cls.enterClassContext(isolated_budgets())
        super().setUpClass()

    def run(self, result: TestResult | None = None) -> TestResult | None:
        """Run a test, with its setUp and tearDown, on a ledger of its own."""
        with isolated_budgets():
            return super().run(result)


class override_limits(TestContextDecorator):  # noqa: N801 - used as a function, as override_settings is
    """
    Set default limits (USD; None is unlimited, 0 blocks) for a block, a test function or a TestCase class.

    They are those of everyone who has no limit of their own: ``with override_limits(daily_user="1.00"): ...``. For a
    single user or project save a ``UserLimit`` or ``ProjectLimit``. What is left out stays as it is.
    """

    def __init__(  # noqa: PLR0913 - one for each setting, all keywords
        self,
        *,
        daily_user: Amount | None = KEEP,
        weekly_user: Amount | None = KEEP,
        monthly_user: Amount | None = KEEP,
        daily_project: Amount | None = KEEP,
        weekly_project: Amount | None = KEEP,
        monthly_project: Amount | None = KEEP,
        daily_global: Amount | None = KEEP,
        weekly_global: Amount | None = KEEP,
        monthly_global: Amount | None = KEEP,
        anonymous_daily: Amount | None = KEEP,
    ) -> None:
        super().__init__()
        limits = {
            "DAILY_USER": daily_user,
            "WEEKLY_USER": weekly_user,
            "MONTHLY_USER": monthly_user,
            "DAILY_PROJECT": daily_project,
            "WEEKLY_PROJECT": weekly_project,
            "MONTHLY_PROJECT": monthly_project,
            "DAILY_GLOBAL": daily_global,
            "WEEKLY_GLOBAL": weekly_global,
            "MONTHLY_GLOBAL": monthly_global,
            "ANONYMOUS_DAILY": anonymous_daily,
        }
        self._limits = {f"{name}_LIMIT_USD": amount for name, amount in limits.items() if amount is not KEEP}
        BudgetConfig(**{name.lower(): amount for name, amount in self._limits.items()})  # refuses what is no amount
        self._entered: list[override_settings] = []

    def enable(self) -> None:
        """Set the limits."""
        overridden = override_settings(**{SETTING: {**getattr(settings, SETTING, {}), **self._limits}})
        overridden.enable()
        self._entered.append(overridden)

    def disable(self) -> None:
        """Set them back."""
        self._entered.pop().disable()


class _FakeServer(Connections):
    """Clients of a fake server that nobody else knows."""

    def __init__(self) -> None:
        try:
            import_module("lupa")  # in which fakeredis runs scripts
            from fakeredis import FakeRedisConnection, FakeServer
        except ImportError as error:
            raise BudgetConfigurationError(
                "isolated_budgets() needs fakeredis: pip install 'django-coreason-budget[testing]'"
            ) from error
        super().__init__(BudgetConfig(redis_url="redis://isolated.invalid"))
        self._fake = {"connection_class": FakeRedisConnection, "server": FakeServer()}

    def _options(self, retry: object) -> dict[str, Any]:
        return super()._options(retry) | self._fake


def _flush() -> None:
    flush_all(FLUSH_SECONDS)
    recorder.flush_all(FLUSH_SECONDS)


def _own_connection() -> BaseDatabaseWrapper | None:
    """Return the connection of the thread that runs the test; a loop's thread has none of its own."""
    if loop_is_running():
        outer = isolation.current()
        return outer.database if outer is not None else None
    from .models import SpendRecord

    return connections[router.db_for_write(SpendRecord) or DEFAULT_DB_ALIAS]


if TYPE_CHECKING:

    def isolated_budgets_fixture() -> Iterator[None]:
        """Give a test a fresh ledger: pytest's fixture ``isolated_budgets``, once ``conftest.py`` has imported this."""

else:

    def __getattr__(name: str) -> Any:
        if name != "isolated_budgets_fixture":
            raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
        fixture = globals()[name] = _make_fixture()
        return fixture


def _make_fixture() -> Any:
    import pytest  # only those who import the fixture have it

    databases = {"db", "transactional_db", "django_db_reset_sequences", "django_db_serialized_rollback", "live_server"}

    @pytest.fixture(name="isolated_budgets")
    def isolated_budgets_fixture(request: pytest.FixtureRequest) -> Iterator[None]:
        """Give a test a fresh ledger, which ends before the test's database does."""
        for name in databases.intersection(request.fixturenames):
            request.getfixturevalue(name)
        with isolated_budgets():
            yield

    return isolated_budgets_fixture
