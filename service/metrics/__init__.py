"""Prometheus metrics of the gateway, and the text of `/metrics`."""
