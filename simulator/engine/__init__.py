"""A small honest exchange: books, accounts, margin, funding. It knows no network, and time is told to it."""
