"""`fcnserve serve`: worker and gateway as children of one process, for one machine."""
