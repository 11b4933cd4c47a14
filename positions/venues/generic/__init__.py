"""The adapter of any ccxt exchange, through ccxt's unified methods."""
