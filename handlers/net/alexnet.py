"""AlexNet as the paper's FCN-AlexNet has it: photo in, features of stride 8, 16 and 32 out.

Source: Krizhevsky, Sutskever and Hinton (NeurIPS 2012); its fully connected layers are the
convolutions fc6 (6x6) and fc7 (1x1) of Long, Shelhamer and Darrell (CVPR 2015), section 4.1. Layer
names and geometry are those of the paper's published `voc-fcn-alexnet`.
"""

from collections.abc import Iterable

from torch import Tensor, nn

from handlers.net.backbone import Backbone
from handlers.net.exact.response_norm import ResponseNorm
from handlers.net.options import AlexNetOptions

# of conv1 to conv5
KERNELS = (11, 5, 3, 3, 3)
STEM_STRIDE = 4
FC6_KERNEL = 6
# the paper pads the photo so that even its corners lie under a whole fc6 window
PAPER_PADDING = 100
# convolutions that read half of the channels each, where there are two groups
GROUPED = (2, 4, 5)
# convolutions that a pooling follows, and those whose responses are then normalised
POOLED, NORMALISED = (1, 2, 5), (1, 2)


class AlexNet(Backbone):
    """AlexNet with its classifier as convolutions, less the last layer.

    conv1 pads by 100, pooling rounds up and fc6 does not pad, as published. Responses are
    normalised across channels alone, so what surrounds a photo does not change them.
    """

    frame_stride = 1

    def __init__(self, options: AlexNetOptions) -> None:
        super().__init__()
        channels_in = 3
        self._order: list[str] = []
        for layer, (kernel, channels) in enumerate(zip(KERNELS, options.channels, strict=True), 1):
            self._append(f"conv{layer}", convolution(layer, channels_in, channels, kernel, options))
            self._append(f"relu{layer}", nn.ReLU(inplace=True))
            for name in followers(layer, options):
                pools = name.startswith("pool")
                self._append(name, nn.MaxPool2d(3, 2, ceil_mode=True) if pools else ResponseNorm())
            channels_in = channels
        self._append("fc6", nn.Conv2d(channels_in, options.fc_channels, FC6_KERNEL))
        self._append("relu6", nn.ReLU(inplace=True))
        self._append("fc7", nn.Conv2d(options.fc_channels, options.fc_channels, 1))
        self._append("relu7", nn.ReLU(inplace=True))
        self.channels = (options.channels[0], options.channels[1], options.fc_channels)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, 3, H, W) to what conv2 (stride 8), conv3 (stride 16) and the scores (stride 32)
        read.
        """
        features = []
        for name in self._order:
            if name in {"conv2", "conv3"}:
                features.append(x)
            x = self.get_submodule(name)(x)
        return features[0], features[1], x

    def early_layers(self) -> Iterable[nn.Module]:
        return [self.get_submodule("conv1")]

    def _append(self, name: str, layer: nn.Module) -> None:
        self.add_module(name, layer)
        self._order.append(name)


def convolution(
    layer: int, channels_in: int, channels: int, kernel: int, options: AlexNetOptions
) -> nn.Conv2d:
    groups = options.groups if layer in GROUPED else 1
    if layer == 1:
        return nn.Conv2d(channels_in, channels, kernel, STEM_STRIDE, PAPER_PADDING)
    return nn.Conv2d(channels_in, channels, kernel, padding=kernel // 2, groups=groups)


def followers(layer: int, options: AlexNetOptions) -> list[str]:
    """Name the layers after a convolution's activation, in order."""
    names = [f"pool{layer}"] if layer in POOLED else []
    if layer in NORMALISED and options.response_norm != "none":
        names.insert(0 if options.response_norm == "before_pool" else 1, f"norm{layer}")
    return names
