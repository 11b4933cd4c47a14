"""The client that predecessors printed, character for character, in a real browser that is signed in."""

import json
import time

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
        heard = []
        # Listening from before it opens: the snapshot may come before anybody could ask for it.
        page.on("websocket", lambda socket: socket.on("framereceived", lambda frame: heard.append(frame)))
        page.evaluate(f"() => {{ {printed} }}")
        deadline = time.monotonic() + WAIT / 1000
        while not any(json.loads(frame)["type"] == "snapshot" for frame in heard):
            assert time.monotonic() < deadline, heard
            page.wait_for_timeout(50)
        with page.expect_console_message(lambda said: said.text.startswith("BTC"), timeout=WAIT) as said:
            market.mark(BTC, "61500", now=timezone.now())
        assert said.value.text == "BTC/USDC:USDC: 3000 P&L"
