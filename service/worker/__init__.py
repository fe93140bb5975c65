"""`fcnserve worker`: packs the models, runs TorchServe and supervises it.

Imports nothing of the gateway.
"""
