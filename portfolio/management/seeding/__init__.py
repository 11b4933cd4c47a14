"""A year of a made-up portfolio, for the page, tests and benchmarks: `year` invents it, `rows` writes it."""
