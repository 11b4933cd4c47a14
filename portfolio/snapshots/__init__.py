"""Snapshots: what is held, minute by minute, kept as rows, rolled up by the hour, dropped when old.

`taking` values and writes them, `partitions` and `retention` keep the tables, `hourly` rolls them up,
`series` and `export` read them.
"""
