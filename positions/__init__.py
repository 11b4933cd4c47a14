"""Venues report facts; ingest records each once; the book folds them into positions; risk measures them."""
