"""The front: what gateway, TorchServe and codecs cost around a network that costs nothing."""
