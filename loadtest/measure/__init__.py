"""What a run measures: CPU time, memory, `/metrics`, the machine."""
