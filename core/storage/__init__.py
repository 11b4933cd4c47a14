"""Postgres and Redis: connections, leases, triggers that protect tables."""
