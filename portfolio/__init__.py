"""Adds it all up, pushes it to the screen, raises alerts."""
