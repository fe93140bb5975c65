"""Other servers around the same network, written as their documentation advises; see README.md."""
