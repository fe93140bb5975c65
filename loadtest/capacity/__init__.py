"""`make loadtest`: Locust against a service, and its report."""
