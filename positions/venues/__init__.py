"""Venue adapters: the only importers of ccxt. They know neither Django nor our models."""
