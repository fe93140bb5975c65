"""The code that runs inside TorchServe's worker. The model archive contains all of it, so that it
runs without the rest of the project.
"""
