"""Everything that runs inside TorchServe's worker; it goes whole into the model archive and runs
alone.
"""
