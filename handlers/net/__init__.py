"""The networks: one file per backbone (`lite0`, `vgg16`), one for the FCN part that they share
(`fcn`), and what makes them exact (`exact`).

`ARCHITECTURES` has them by the names that `model.yaml` uses. Torch is imported by those who build.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Protocol

from handlers.net.options import VggOptions

if TYPE_CHECKING:
    from handlers.net.fcn import FCN8s


class Architecture(Protocol):
    """Builds a network with random weights."""

    def __call__(self, classes: int, options: VggOptions | None = None, /) -> "FCN8s": ...


def fcn8s_lite0(classes: int, _options: VggOptions | None = None, /) -> "FCN8s":
    """FCN-8s on EfficientNet-Lite0: 3.4 million parameters, no options."""
    from handlers.net.fcn import FCN8s
    from handlers.net.lite0 import Lite0

    return FCN8s(Lite0(), Lite0.channels, classes)


def fcn8s_vgg16(classes: int, options: VggOptions | None = None, /) -> "FCN8s":
    """FCN-8s on VGG16, the paper's network: 134 million parameters unless options say less."""
    from handlers.net.fcn import FCN8s, PaddedFCN8s
    from handlers.net.vgg16 import Vgg16

    options = options or VggOptions()
    paper_padding = options.padding != "same"
    backbone = Vgg16(
        paper_padding=paper_padding, channels=options.channels, fc_channels=options.fc_channels
    )
    kind = PaddedFCN8s if paper_padding else FCN8s
    return kind(backbone, backbone.channels, classes)


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {"fcn8s-lite0": fcn8s_lite0, "fcn8s-vgg16": fcn8s_vgg16}
)
