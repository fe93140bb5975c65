"""What `model.yaml` may say of a network: its name, and what goes beyond it. Knows no torch."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

# how fine the last scores are, and the backbone
ArchitectureName = Literal[
    "fcn32s-lite0", "fcn16s-lite0", "fcn8s-lite0", "fcn32s-vgg16", "fcn16s-vgg16", "fcn8s-vgg16"
]

Channels = Annotated[int, Field(ge=1, le=65536)]

# of a transposed convolution: fixed and bilinear, or in the weights file, by class or mixing them
Kernels = Literal["bilinear", "per_class", "dense"]


class VggOptions(BaseModel):
    """Of the VGG16 networks: `padding: 100` is the paper's, `same` makes maps exact fractions of
    32.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    padding: Literal["same", 100] = 100
    # of the five stages
    channels: tuple[Channels, Channels, Channels, Channels, Channels] = (64, 128, 256, 512, 512)
    # of fc6 and fc7
    fc_channels: Channels = 4096


class Upsampling(BaseModel):
    """Of every network: the kernels that bring scores up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # from stride 32 to 16 and 8
    between: Kernels = "bilinear"
    # from the finest scores to every pixel
    last: Kernels = "bilinear"


BILINEAR = Upsampling()
