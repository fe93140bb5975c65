"""`make bench`: ways to batch, and the service, in one run."""
