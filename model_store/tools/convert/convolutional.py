"""Convolutionalisation: a classifier's fully connected layers in, the same layers as convolutions.

Source: Long, Shelhamer and Darrell (CVPR 2015), section 3.1. On the classifier's native input both
give the same numbers; on a larger one the convolution gives a map of them. Called by
`model_store.tools.convert.classifier`.
"""

from collections.abc import Sequence

from torch import Tensor, nn

Window = tuple[int, int]  # (height, width) of the map that the layer was trained on


def as_convolution(weight: Tensor, window: Sequence[int]) -> Tensor:
    """Reshape a fully connected layer's weight (out, in x height x width) to a convolution's.

    Raises ValueError where the layer reads no map of that size.
    """
    channels, rest = divmod(weight.shape[1], window[0] * window[1])
    if rest or not channels:
        raise ValueError(
            f"a layer of {weight.shape[1]} inputs reads no map of {window[0]}x{window[1]} points"
        )
    return weight.reshape(weight.shape[0], channels, *window)


def convolutional(layer: nn.Linear, window: Window = (1, 1)) -> nn.Conv2d:
    """Make the convolution that computes `layer` at every point of a map."""
    weight = as_convolution(layer.weight.data, window)
    convolution = nn.Conv2d(weight.shape[1], weight.shape[0], window)
    convolution.weight.data = weight
    if convolution.bias is not None:
        convolution.bias.data = layer.bias.data
    return convolution
