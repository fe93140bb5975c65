"""`make loadtest`: Locust against a service, and the report on its capacity."""
