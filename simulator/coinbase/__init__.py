"""A spot exchange behind Coinbase Advanced Trade's REST protocol: no fill stream, as on the real venue."""
