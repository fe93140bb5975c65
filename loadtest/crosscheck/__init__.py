"""Compares the capacity that Locust measures with the results of other load generators."""
