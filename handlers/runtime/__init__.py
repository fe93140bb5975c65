"""The network on its device, the measurements when a worker starts, and the model card."""
