"""Checks a model folder, and segments a photo with it."""
