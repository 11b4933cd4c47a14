"""P&L by day: what each position, account and strategy did to equity, kept and closed to the cent."""
