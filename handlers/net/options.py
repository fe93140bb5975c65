"""The options of a network in `model.yaml`: its name, and what goes beyond it. Imports no torch.

Read by `handlers.model_config` and by the tools of `model_store`.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Annotated, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

LiteName = Literal["lite0", "lite1", "lite2", "lite3", "lite4"]
LITE_NAMES: tuple[LiteName, ...] = get_args(LiteName)
BackboneName = LiteName | Literal["vgg16", "alexnet"]
BACKBONES: tuple[BackboneName, ...] = (*LITE_NAMES, "vgg16", "alexnet")
# of the finest scores
Stride = Literal[32, 16, 8]
STRIDES: tuple[Stride, ...] = get_args(Stride)

# how fine the last scores are, and the backbone, by the names that `model.yaml` uses
ARCHITECTURE_PARTS: Mapping[str, tuple[Stride, BackboneName]] = MappingProxyType(
    {f"fcn{stride}s-{backbone}": (stride, backbone) for backbone in BACKBONES for stride in STRIDES}
)


def check_name(name: str) -> str:
    if name not in ARCHITECTURE_PARTS:
        raise ValueError(f"{name!r} is no network; there are {', '.join(ARCHITECTURE_PARTS)}")
    return name


ArchitectureName = Annotated[str, AfterValidator(check_name)]

Channels = Annotated[int, Field(ge=1, le=65536)]

# of a transposed convolution: fixed and bilinear, or in the weights file, per class or mixing them
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


# where AlexNet normalises responses: CaffeNet, which the paper takes, after it pools them, AlexNet
# itself before; torchvision's AlexNet does not
ResponseNorm = Literal["after_pool", "before_pool", "none"]


class AlexNetOptions(BaseModel):
    """Of the AlexNet networks, all of which pad photos by the paper's 100."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # of the five convolutions
    channels: tuple[Channels, Channels, Channels, Channels, Channels] = (96, 256, 384, 384, 256)
    # of fc6 and fc7
    fc_channels: Channels = 4096
    # of conv2, conv4 and conv5
    groups: Literal[1, 2] = 2
    response_norm: ResponseNorm = "after_pool"


# of EfficientNet-Lite: the output of a block, or of the next block's first layer
Skips = Literal["project", "expand"]


class LiteOptions(BaseModel):
    """Of the EfficientNet-Lite networks: where the features of strides 8 and 16 are taken."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # `expand`: after the next block's expansion, with six times the channels; costs nothing but
    # wider score layers, since that block computes it anyway
    skips: Skips = "project"


BackboneOptions = LiteOptions | VggOptions | AlexNetOptions
# the key of `model.yaml` that has each one's options
OPTION_KEYS: Mapping[type[BackboneOptions], str] = MappingProxyType(
    {LiteOptions: "lite", VggOptions: "vgg16", AlexNetOptions: "alexnet"}
)


def option_key(architecture: str) -> str:
    """Give the key of `model.yaml` that has the options of an architecture's backbone."""
    backbone = ARCHITECTURE_PARTS[architecture][1]
    return "lite" if backbone in LITE_NAMES else backbone


class Upsampling(BaseModel):
    """Of every network: the kernels that bring scores up."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    # from stride 32 to 16 and 8
    between: Kernels = "bilinear"
    # from the finest scores to every pixel
    last: Kernels = "bilinear"


BILINEAR = Upsampling()
