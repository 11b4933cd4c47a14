"""Alerts follow from state: inputs are read, rules judge them, one writer keeps what became of each alert."""
