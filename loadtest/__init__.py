"""Load tests, benchmarks and their reports; the service needs nothing of this package."""
