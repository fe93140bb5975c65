"""Creates model folders for a user's own classes."""
