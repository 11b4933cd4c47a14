"""Benchmarks: one module each, run by `bin/bench NAME`."""
