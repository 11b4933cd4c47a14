"""What a venue says that a key may do, and answers that say nothing."""

from __future__ import annotations

from typing import Any

import pytest

from positions.venues.base import Corrupt
from tests.positions.venues.generic.test_adapter import venue_of
from tests.positions.venues.replay import Answer, put_in


class TestPermissionsOfAKey:
    @pytest.mark.parametrize(
        ("exchange", "answer", "withdraw"),
        [
            ("binance", {"enableReading": True, "enableWithdrawals": True, "ipRestrict": False}, True),
            (
                "bybit",
                {"retCode": 0, "result": {"readOnly": 1, "permissions": {"Wallet": ["Withdraw"]}}},
                True,
            ),
            (
                "binanceusdm",
                {
                    "enableReading": True,
                    "enableWithdrawals": False,
                    "ipRestrict": True,
                    "enableFutures": True,
                },
                False,
            ),
            ("okx", {"code": "0", "data": [{"perm": "read_only", "ip": ""}]}, False),
            ("okx", {"code": "0", "data": [{"perm": "read_only,withdraw", "ip": "10.0.0.1"}]}, True),
            ("bybit", {"retCode": 0, "result": {"permissions": None}}, None),
            ("okx", {"code": "0", "data": [{}]}, None),
            ("coinbase", {"can_view": True}, None),
            ("coinbase", {"can_view": True, "can_transfer": "true"}, True),
            ("coinbase", {"can_view": True, "can_trade": False, "can_transfer": True}, True),
        ],
    )
    async def test_say_whether_a_key_can_withdraw(self, exchange: str, answer: Any, withdraw: bool) -> None:
        venue = venue_of(exchange)
        put_in(venue.client, lambda *_: Answer(answer))
        assert (await venue.permissions()).withdraw is withdraw

    @pytest.mark.parametrize(
        ("exchange", "answer"),
        [
            ("bybit", []),
            ("bybit", {"retCode": 0, "result": {"permissions": {"Wallet": 7}}}),
            ("okx", {"code": "0", "data": []}),
            ("okx", {"code": "0", "data": [None]}),
            ("binance", []),
            ("coinbase", "<html></html>"),
        ],
    )
    async def test_of_another_shape_are_corrupt(self, exchange: str, answer: Any) -> None:
        venue = venue_of(exchange)
        put_in(venue.client, lambda *_: Answer(answer))
        with pytest.raises(Corrupt):
            await venue.permissions()
