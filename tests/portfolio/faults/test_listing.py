"""A coin that a venue lists after its account was connected, on a whole stream process."""

import pytest

from tests.portfolio.faults.rig import Venue, until
from tests.portfolio.faults.trading import promised

pytestmark = [pytest.mark.processes, pytest.mark.timeout(600)]


class TestACoinListedWhileItsAccountIsWatched:
    @pytest.fixture
    def young(self, rig):
        """A venue that does not list HYPE yet."""
        venue = Venue(rig.data_dir / "young.log", "--traders", "2")
        venue.cause(kind="unlist", coin="HYPE")
        venue.pause()
        yield venue
        venue.stop()

    def test_is_booked_as_soon_as_it_trades(self, rig, young, one_copy):
        user = young.users()[0]
        account = rig.account(young, user, "early")
        until(lambda: rig.is_live(account), why=rig.told)
        young.cause(kind="unlist", coin="HYPE", listed=True)

        def listed():
            young.trade(user, "2", coin="HYPE")
            return until(lambda: "HYPE" in rig.sizes(account), why=rig.told)

        promised(listed, limit=30)
        until(lambda: rig.agrees(young, user, account), why=lambda: rig.differences(young, user, account))
