"""How venues are reached: one ccxt exchange per account, its WebSockets and the event loop they run on."""
