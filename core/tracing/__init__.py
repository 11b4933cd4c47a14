"""Which request did what: trace ids, the client's address, the log."""
