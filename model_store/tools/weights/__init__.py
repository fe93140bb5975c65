"""A network's weights: the initial ones of a training, and those of a model folder.

Creating a model and training one need both.
"""
