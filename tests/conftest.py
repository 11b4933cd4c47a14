"""What all tests share: three personas, a clean Redis, a clock, fixed examples, and who runs what."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis
from django.contrib.auth.models import Group, User
from django.core.management import CommandError
from django.test import Client, TransactionTestCase
from django.utils import timezone
from hypothesis import settings
from psycopg.errors import DeadlockDetected
from xdist.scheduler import LoadScopeScheduling

from core.process import heartbeats
from core.security.scopes import Role, Scope
from core.signin.login import CONFIRMED_AT
from core.storage.redis import client as redis_client
from tests.api_keys import issue_key

# Every run tries the same examples, whatever the machine does meanwhile, so that one run equals another.
settings.register_profile("fixed", deadline=None, derandomize=True, print_blob=True)
# New examples each time: .venv/bin/pytest --hypothesis-profile search tests/positions/book
settings.register_profile("search", deadline=None, max_examples=1000, print_blob=True)
settings.load_profile("fixed")

# Tests that load a process of the product would start a thread that says, for all later tests, that it lives.
heartbeats._started.update(("web", "worker", "beat", "stream"))

ROOT = Path(__file__).resolve().parents[1]
# What takes longest begins first, so that no worker is left alone with it in the end. A folder is one unit:
# its files share what is expensive to start.
SLOW_FIRST = (
    "tests/portfolio/faults/",
    "tests/config/test_demo.py",
    "tests/config/test_hostile_input.py",
    "tests/browser/test_board.py",
    "tests/positions/ledger/test_processes.py",
    "tests/reconciliation/rules/test_causes.py",
    "tests/browser/test_reconnecting.py",
    "tests/config/test_embedded.py",
    "tests/simulator/engine/test_conservation.py",
    "tests/test_migrations.py",
    "tests/browser/",
    "tests/reconciliation/runs/test_world.py",
    "tests/portfolio/test_first_thread.py",
    "tests/config/",
    "tests/simulator/",
    "tests/reconciliation/",
)

# What `bin/test` leaves to `bin/test --all`: crashes, whole demos, hours at simulated venues, every process
# started once more, clients of other languages built anew, long searches by hypothesis. Half
# of all the time goes to them, and what they show by accident other tests show step by step.
LONG = (
    "tests/browser/test_accessibility.py",
    "tests/browser/test_derived.py",
    "tests/browser/test_documented_clients.py",
    "tests/browser/test_frames.py",
    "tests/browser/test_reconnecting.py",
    "tests/browser/test_signing_in.py",
    "tests/config/test_demo.py",
    "tests/config/test_embedded.py",
    "tests/config/test_hostile_input.py",
    "tests/config/test_tls.py",
    "tests/core/http/test_load.py",
    "tests/core/process/test_startup.py",
    "tests/core/storage/test_database_options.py",
    "tests/core/values/test_decimals.py",
    "tests/portfolio/faults/",
    "tests/portfolio/pnl/test_month.py",
    "tests/portfolio/test_first_thread.py",
    "tests/positions/ledger/fold/test_checkpoints.py::TestAStory",
    "tests/positions/ledger/test_any_order.py",
    "tests/positions/ledger/test_processes.py",
    "tests/positions/venues/generic/test_adversarial.py",
    "tests/positions/venues/test_timeless_rows.py",
    "tests/reconciliation/cases/test_plans.py::TestAnEntryPriceAdopted",
    "tests/reconciliation/cases/test_plans.py::TestEveryAction",
    "tests/reconciliation/cases/test_plans.py::TestWhileARunIsUnderWay::test_every_preview",
    "tests/reconciliation/cases/test_undoing.py::TestCorrectionsThatAreAllTakenBack",
    "tests/reconciliation/rules/test_causes.py",
    "tests/reconciliation/runs/test_connecting.py",
    "tests/reconciliation/runs/test_connecting_coinbase.py",
    "tests/reconciliation/runs/test_world.py",
    "tests/reconciliation/test_acceptance.py",
    "tests/simulator/engine/test_conservation.py",
    "tests/simulator/engine/test_persistence.py",
    "tests/simulator/test_truth.py",
    "tests/test_migrations.py",
)
# What repeats at length what other tests show step by step: it is proven as always, but not measured, because
# measuring makes Python half as fast.
NOT_MEASURED = (
    "tests/simulator/engine/test_conservation.py",
    "tests/simulator/test_truth.py",
    "tests/positions/venues/generic/test_adversarial.py",
    "tests/positions/risk/test_properties.py",
    "tests/positions/book/test_properties.py",
)


def _rank(path: str) -> int:
    return next((rank for rank, start in enumerate(SLOW_FIRST) if path.startswith(start)), len(SLOW_FIRST))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put slow files first (inside a file the order stays), and leave some out of coverage."""
    listed = (*SLOW_FIRST, *LONG, *NOT_MEASURED)
    if missing := [path for path in listed if not (ROOT / path.partition("::")[0]).exists()]:
        raise pytest.UsageError(f"tests/conftest.py lists what is not there: {', '.join(missing)}")
    items.sort(key=lambda item: _rank(item.nodeid))
    for item in items:
        if item.nodeid.startswith(LONG):
            item.add_marker(pytest.mark.long)
        if item.nodeid.startswith(NOT_MEASURED):
            item.add_marker(pytest.mark.no_cover)


class ByFile(LoadScopeScheduling):
    """Workers of pytest-xdist take whole files: what a module sets up is set up once."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return SLOW_FIRST[0] if path.startswith(SLOW_FIRST[0]) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> ByFile:
    """Hand out files in the order collected, where xdist would take those with most tests first."""
    config.option.loadscopereorder = False
    return ByFile(config, log)


@pytest.fixture(autouse=True)
def _clean_redis() -> None:
    """Each test starts with an empty Redis database of its worker."""
    redis_client().flushdb()


@pytest.fixture(scope="session", autouse=True)
def _tables_as_migrated() -> Iterator[None]:
    """Leave the tables as migrations do after a test that commits for real: empty but for the roles' groups.

    Emptying them is tried again when Postgres chose that transaction to end a deadlock: a real web process
    may still answer a request of a page that is closed.
    """
    empty_tables = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]

    def leave_as_migrated(case: TransactionTestCase) -> None:
        for attempts_left in reversed(range(5)):
            try:
                empty_tables(case)
                break
            except CommandError as error:
                is_deadlock = isinstance(getattr(error.__cause__, "__cause__", None), DeadlockDetected)
                if not (is_deadlock and attempts_left):
                    raise
        for role in Role:
            Group.objects.get_or_create(name=role.value)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", leave_as_migrated)
        yield


@pytest.fixture
def now() -> datetime:
    return datetime(2026, 1, 15, 12, 0, tzinfo=UTC)


@pytest.fixture
def redis_server() -> redis.Redis:
    return redis_client()


def _person(name: str, role: Role, **fields: Any) -> User:
    user = User.objects.create_user(name, password="correct horse battery", **fields)
    user.groups.add(Group.objects.get(name=role.value))
    return user


@pytest.fixture
def viewer(db: None) -> User:
    return _person("vera", Role.VIEWER)


@pytest.fixture
def trader(db: None) -> User:
    return _person("tom", Role.TRADER)


@pytest.fixture
def admin(db: None) -> User:
    return _person("ada", Role.ADMIN, is_staff=True, is_superuser=True)


@pytest.fixture
def as_viewer(viewer: User) -> Client:
    return _logged_in(viewer)


@pytest.fixture
def as_trader(trader: User) -> Client:
    return _logged_in(trader)


@pytest.fixture
def as_admin(admin: User) -> Client:
    return _logged_in(admin)


def _logged_in(user: User) -> Client:
    browser = Client()
    browser.force_login(user)
    session = browser.session
    moment = timezone.now().timestamp()  # as after a sign-in and a page
    session.update({CONFIRMED_AT: moment, "began_at": moment, "renewed_at": moment})
    session.save()
    return browser


@pytest.fixture
def api_key(db: None) -> Any:
    """Make an API key with the given scopes and return the header that carries it."""

    def make(*scopes: Scope, **fields: Any) -> dict[str, str]:
        _, text = issue_key(name="test", scopes=list(scopes) or [Scope.READ], **fields)
        return {"X-API-Key": text}

    return make
