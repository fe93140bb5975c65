"""API keys: which requests of `/v1` are allowed, and how many images a second a key may send."""
