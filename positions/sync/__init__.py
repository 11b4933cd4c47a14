"""From an account to its venue: connections, polling, backfills, opening balances."""
