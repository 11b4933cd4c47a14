"""The API of runs, verdicts, cases, accounts and allocation."""
