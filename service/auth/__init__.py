"""API keys and request rates. Knows of no image and of no backend."""
