"""Who may do what, from which address, and the record of security events."""
