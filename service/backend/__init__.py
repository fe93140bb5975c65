"""From accepted image to worker and back: queue, dispatcher, client, retries, model registry,
health.
"""
