"""Manifests for Kubernetes, and what writes the one that repeats other files."""
