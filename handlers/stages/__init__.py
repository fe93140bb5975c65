"""The stages of the worker, one file each: decode, plan, forward, encode, hold."""
