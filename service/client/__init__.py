"""The client side of the API: what `fcnserve segment` and `fcnserve model evaluate` ask a server
with.
"""
