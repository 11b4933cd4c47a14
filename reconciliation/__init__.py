"""Proves the book against the venues and names every difference."""
