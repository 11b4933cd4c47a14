"""Shared ground below all apps: API keys, problem details, paging, money, Redis, leases, trace ids."""
