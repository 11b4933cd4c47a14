"""From booked facts to positions: advance when in order, refold when late, rebuild to prove it."""
