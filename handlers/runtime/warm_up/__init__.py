"""Warm-up before the first request: which forward passes photos may share, and what passes take."""
