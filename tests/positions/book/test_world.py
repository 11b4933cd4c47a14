"""The world of accounts and instruments, as a value."""

from positions.book.world import World


class TestAWorld:
    def test_is_the_same_for_the_same_venue_environment_and_base_url(self):
        assert World("hyperliquid", "live") == World("hyperliquid", "live", "")
        assert World("hyperliquid", "simulated", "http://a") != World("hyperliquid", "simulated", "http://b")

    def test_is_a_key_as_text(self):
        assert str(World("hyperliquid", "simulated", "http://a")) == "hyperliquid|simulated|http://a"

    def test_is_a_condition_on_rows(self):
        assert World("okx", "live").lookup("instrument__") == {
            "instrument__venue": "okx",
            "instrument__environment": "live",
            "instrument__base_url": "",
        }
