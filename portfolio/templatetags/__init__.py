"""What templates need of the portfolio."""
