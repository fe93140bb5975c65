"""Reads model folders, packs them into TorchServe archives, and lists a model store."""
