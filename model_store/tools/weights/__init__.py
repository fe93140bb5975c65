"""A network's weights: the initial ones of a training, and those of a model folder.

Called by `model_store.tools.create` and `model_store.tools.train`.
"""
