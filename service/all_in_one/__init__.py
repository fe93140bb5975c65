"""`fcnserve serve`: supervises worker and gateway as subprocesses, on one machine."""
