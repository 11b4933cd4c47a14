"""The client that predecessors printed, character for character, in a real browser that is signed in."""

import json

from django.utils import timezone

from tests.portfolio.market import BTC, Market

PRINTED = """
const ws = new WebSocket('ws://localhost:8000/api/v1/positions/stream');
ws.onmessage = (event) => {
  const msg = JSON.parse(event.data);
  if (msg.type === 'position_update') {
    console.log(`${msg.symbol}: ${msg.position.unrealized_pnl} P&L`);
  }
};
"""
WAIT = 15_000


class TestThePrintedClient:
    def test_says_the_profit_of_every_position_that_moves(self, site, vera):
        now = timezone.now()
        market = Market(now=now)
        market.fill("buy", "2", "60000", now=now)
        market.mark(BTC, "61000", now=now)
        page = site.sign_in("vera")
        printed = PRINTED.replace("localhost:8000", site.url.removeprefix("http://"))
        with page.expect_websocket() as opened:
            page.evaluate(f"() => {{ {printed} }}")
        opened.value.wait_for_event(
            "framereceived",
            predicate=lambda frame: json.loads(frame)["type"] == "snapshot",
            timeout=WAIT,
        )
        with page.expect_console_message(lambda said: said.text.startswith("BTC"), timeout=WAIT) as said:
            market.mark(BTC, "61500", now=timezone.now())
        assert said.value.text == "BTC/USDC:USDC: 3000 P&L"
