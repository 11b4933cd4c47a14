"""The ccxt exchanges whose differences from the generic adapter are known, a file each."""
