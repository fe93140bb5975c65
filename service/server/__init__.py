"""The HTTP server around the application: connections, their limits, and several processes."""
