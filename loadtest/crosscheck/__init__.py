"""Compares the capacity that Locust finds with what other load generators find."""
