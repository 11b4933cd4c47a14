"""One run, from the request to the certificate and the verdicts."""
