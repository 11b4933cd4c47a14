"""The rules: each kind of alert by one function, from a snapshot to conditions. Pure."""
