"""The API of positions, entries and accounts: routers, what they read, and their schemas."""
