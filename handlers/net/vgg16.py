"""VGG16 as the paper's fully convolutional backbone: photo in, features of stride 8, 16 and 32 out.

Source: Simonyan and Zisserman (ICLR 2015), configuration D; its fully connected layers are the
convolutions fc6 (7x7) and fc7 (1x1) of Long, Shelhamer and Darrell (CVPR 2015), section 4.1. Layer
names are those of the paper's published model.
"""

from collections.abc import Iterable, Sequence

from torch import Tensor, nn

from handlers.net.backbone import Backbone

# convolutions per stage; each stage ends with a pooling by two
STAGE_LAYERS = (2, 2, 3, 3, 3)
STAGE_CHANNELS = (64, 128, 256, 512, 512)
FC_CHANNELS = 4096
FC6_KERNEL = 7
# the paper pads the photo so that even its corners lie under a whole fc6 window
PAPER_PADDING = 100


class Vgg16(Backbone):
    """VGG16 with its classifier as convolutions, less the last layer.

    With `paper_padding` conv1_1 pads by 100, pooling rounds up and fc6 does not pad, as published;
    else everything pads by half its kernel, and maps are exact fractions of the photo.
    """

    def __init__(
        self,
        *,
        paper_padding: bool = False,
        channels: Sequence[int] = STAGE_CHANNELS,
        fc_channels: int = FC_CHANNELS,
    ) -> None:
        super().__init__()
        channels_in = 3
        for stage, (layers, channels_out) in enumerate(zip(STAGE_LAYERS, channels, strict=True), 1):
            for layer in range(1, layers + 1):
                first = stage == layer == 1
                padding = PAPER_PADDING if first and paper_padding else 1
                convolution = nn.Conv2d(channels_in, channels_out, 3, padding=padding)
                self.add_module(f"conv{stage}_{layer}", convolution)
                self.add_module(f"relu{stage}_{layer}", nn.ReLU(inplace=True))
                channels_in = channels_out
            self.add_module(f"pool{stage}", nn.MaxPool2d(2, 2, ceil_mode=paper_padding))
        fc6_padding = 0 if paper_padding else FC6_KERNEL // 2
        self.fc6 = nn.Conv2d(channels_in, fc_channels, FC6_KERNEL, padding=fc6_padding)
        self.relu6 = nn.ReLU(inplace=True)
        self.fc7 = nn.Conv2d(fc_channels, fc_channels, 1)
        self.relu7 = nn.ReLU(inplace=True)
        self.channels = (channels[2], channels[3], fc_channels)
        self.frame_stride = 1 if paper_padding else 2 ** len(STAGE_LAYERS)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Map (N, 3, H, W) to pool3 (stride 8), pool4 (stride 16) and fc7 (stride 32)."""
        pooled = []
        for stage, layers in enumerate(STAGE_LAYERS, 1):
            for layer in range(1, layers + 1):
                x = self.get_submodule(f"conv{stage}_{layer}")(x)
                x = self.get_submodule(f"relu{stage}_{layer}")(x)
            x = self.get_submodule(f"pool{stage}")(x)
            pooled.append(x)
        x = self.relu7(self.fc7(self.relu6(self.fc6(x))))
        return pooled[2], pooled[3], x

    def early_layers(self) -> Iterable[nn.Module]:
        return [self.get_submodule(f"conv{layer}") for layer in ("1_1", "1_2", "2_1", "2_2")]
