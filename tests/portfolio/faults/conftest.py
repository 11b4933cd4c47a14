import subprocess
import sys

import pytest

from tests.portfolio.faults.clients import Clients
from tests.portfolio.faults.rig import ROOT, Rig, Venue, kill
from tests.portfolio.faults.trading import Trading


@pytest.fixture(scope="package")
def production(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("production"))
    yield rig
    rig.close()


@pytest.fixture(scope="package")
def exchange(production):
    """A venue whose background traders are busy."""
    venue = Venue(production.data_dir / "venue.log", "--traders", "2", "--speed", "4")
    yield venue
    venue.stop()


@pytest.fixture(scope="package")
def watching(production):
    """Browsers on two web processes, connected all the time."""
    clients = Clients(production)
    yield clients
    clients.close()


@pytest.fixture
def rig(production):
    """The services, without accounts of an earlier test."""
    yield production
    production.retire()


@pytest.fixture
def venue(exchange):
    exchange.pause(False)
    yield exchange
    exchange.clear()


@pytest.fixture
def copies(rig):
    """Two copies of the stream process that are up."""
    return rig.copies(2)


@pytest.fixture
def one_copy(rig):
    """One copy that is up."""
    return rig.copies(1)


@pytest.fixture
def trading(rig, venue, watching):
    return Trading(rig, venue, watching)


@pytest.fixture
def worker(rig):
    """One Celery worker."""
    command = [sys.executable, "-m", "celery", "--quiet", "--app", "config", "worker", "--pool", "solo"]
    with (rig.data_dir / "worker.log").open("ab") as log:
        process = subprocess.Popen(
            [*command, "--loglevel", "WARNING", "--without-gossip", "--without-mingle"],
            cwd=ROOT, env=rig.environment, stdout=log, stderr=log,
        )  # fmt: skip
    yield process
    kill(process)
