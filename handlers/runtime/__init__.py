"""The network on its device, and what is measured when a worker starts."""
