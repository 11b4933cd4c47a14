"""Targets of an allocation, and the equity they are shares of."""
