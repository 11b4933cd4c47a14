"""What the portfolio adds up to now: accounts beside positions, and the totals kept for every process."""
