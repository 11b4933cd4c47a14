import pytest

from tests.portfolio.stream.rig import Rig, Venue


@pytest.fixture(scope="package")
def production(tmp_path_factory):
    rig = Rig(tmp_path_factory.mktemp("production"))
    yield rig
    rig.close()


@pytest.fixture
def rig(production):
    """The services, without accounts of an earlier test."""
    yield production
    production.retire()


@pytest.fixture
def copies(rig):
    """Two copies of the stream process that are up."""
    return rig.copies(2)


@pytest.fixture
def one_copy(rig):
    """One copy that is up."""
    return rig.copies(1)


@pytest.fixture
def venue(rig):
    """A venue whose background traders are busy."""
    venue = Venue(rig.data_dir / "venue.log", "--traders", "2", "--speed", "4")
    yield venue
    venue.stop()
