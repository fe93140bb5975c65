"""The verbs of the worker, one file each: decode, plan, forward, encode."""
