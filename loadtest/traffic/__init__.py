"""The traffic of load tests: photos, requests, clients, and the checks of every answer."""
