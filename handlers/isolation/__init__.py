"""Crash isolation: an image that ends its worker process does not end the next one.

A *suspect* is an image that was in work when a worker process ended. `suspects` has the registry of
them, `quarantine` decides how they run, `crash_isolation` is what the pipeline calls.
"""
