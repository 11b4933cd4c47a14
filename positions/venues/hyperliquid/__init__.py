"""Hyperliquid, read by address from the raw answers of its own protocol."""
