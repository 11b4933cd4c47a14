"""Pure rules: compare book and report, reach verdicts, infer fills, rank causes, weigh an allocation."""
