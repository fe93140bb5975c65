"""The stages of the worker, one file each: defer, decode, plan, forward, encode, hold."""
