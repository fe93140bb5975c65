"""The networks: one file per family of backbones (`lite`, `vgg16`, `alexnet`), one for the FCN part
that they share (`fcn`), and the room that makes them exact (`exact`).

`ARCHITECTURES` has them by the names that `model.yaml` uses. Building one imports torch.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from handlers.net.options import (
    ARCHITECTURE_PARTS,
    BILINEAR,
    AlexNetOptions,
    BackboneName,
    BackboneOptions,
    LiteOptions,
    Stride,
    Upsampling,
    VggOptions,
)

if TYPE_CHECKING:
    from handlers.net.backbone import Backbone
    from handlers.net.fcn import FCN


@dataclass(frozen=True, slots=True)
class Architecture:
    """One stage of the paper on one backbone."""

    stride: Stride
    backbone: BackboneName

    def __call__(
        self,
        classes: int,
        options: BackboneOptions | None = None,
        upsampling: Upsampling = BILINEAR,
    ) -> "FCN":
        """Build it with random weights: 3.4 million of them on Lite0, 134 million on VGG16 unless
        its options reduce them. Options of another backbone have no effect.
        """
        from handlers.net.fcn import FCN

        return FCN(self._build_backbone(options), classes, self.stride, upsampling)

    def _build_backbone(self, options: BackboneOptions | None) -> "Backbone":
        from handlers.net.alexnet import AlexNet
        from handlers.net.lite import Lite
        from handlers.net.vgg16 import Vgg16

        if self.backbone == "alexnet":
            return AlexNet(options if isinstance(options, AlexNetOptions) else AlexNetOptions())
        if self.backbone != "vgg16":
            lite = options if isinstance(options, LiteOptions) else LiteOptions()
            return Lite(self.backbone, lite.skips)
        vgg16 = options if isinstance(options, VggOptions) else VggOptions()
        return Vgg16(
            paper_padding=vgg16.padding != "same",
            channels=vgg16.channels,
            fc_channels=vgg16.fc_channels,
        )


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {name: Architecture(*parts) for name, parts in ARCHITECTURE_PARTS.items()}
)
