"""What a drift becomes: a case, its evidence, the plans that resolve it, and the corrections booked."""
