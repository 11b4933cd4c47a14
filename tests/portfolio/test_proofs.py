"""What a proof is called: a Synced that rests on an unproven reading says so."""

import pytest

from portfolio import proofs
from reconciliation.models import Status


class TestAProof:
    @pytest.mark.parametrize(
        ("venue", "spot", "label"),
        [
            ("hyperliquid", False, "Synced"),
            ("coinbase", True, "Synced"),
            ("kraken", False, "Synced, reading unproven"),
            ("binancecoinm", True, "Synced, reading unproven"),
        ],
    )
    def test_says_on_what_it_rests(self, venue, spot, label):
        assert proofs.label(Status.SYNCED, venue=venue, spot=spot) == label

    @pytest.mark.parametrize("status", [Status.PENDING, Status.DRIFT, Status.FAILED])
    def test_says_it_only_of_what_is_synced(self, status):
        assert proofs.label(status, venue="kraken", spot=False) == status.label
