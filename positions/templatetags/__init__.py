"""What templates need of positions."""
