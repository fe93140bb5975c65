"""Traces: the one that a request belongs to (`traceparent`), and where spans go (`collector`)."""
