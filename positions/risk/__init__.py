"""Margin, liquidation and exposure of positions. Pure: standard library and positions.book only."""
