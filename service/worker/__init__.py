"""`fcnserve worker`: packs the models, runs TorchServe, and watches it. Never imports the
gateway.
"""
