"""Packs a model folder into a TorchServe archive, and lists what a model store holds."""
