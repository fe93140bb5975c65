"""Measurements of a run: CPU time, memory, `/metrics`, latencies, and the service they load."""
