"""Traffic, benchmarks and reports; nothing here is needed to serve."""
