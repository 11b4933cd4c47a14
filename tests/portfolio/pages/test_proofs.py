"""What a proof is called: a Synced that rests on an unproven reading says so."""

import pytest

from portfolio import proofs
from positions.sync import evidence
from reconciliation.models import Status


class TestAProof:
    @pytest.mark.parametrize(
        ("venue", "methods", "label"),
        [
            ("hyperliquid", evidence.DERIVATIVE, "Synced"),
            ("coinbase", evidence.COIN, "Synced"),
            ("kraken", evidence.DERIVATIVE, "Synced, reading unproven"),
            ("binancecoinm", evidence.CASH, "Synced, reading unproven"),
        ],
    )
    def test_says_on_what_it_rests(self, venue, methods, label):
        reading = evidence.reading(venue=venue, methods=methods)
        assert proofs.label(Status.SYNCED, reading=reading) == label

    @pytest.mark.parametrize("status", [Status.PENDING, Status.DRIFT, Status.FAILED])
    def test_says_it_only_of_what_is_synced(self, status):
        reading = evidence.reading(venue="kraken", methods=evidence.DERIVATIVE)
        assert proofs.label(status, reading=reading) == status.label
