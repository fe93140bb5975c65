"""The replicas: TorchServes that have the same models, each with an address, connections, room,
measured speed and health of its own; and which of them is sent the next images.
"""
