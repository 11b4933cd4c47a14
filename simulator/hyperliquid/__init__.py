"""The exchange behind Hyperliquid's protocol: POST /info, POST /exchange, WebSocket /ws."""
