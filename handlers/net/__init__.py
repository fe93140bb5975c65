"""The networks: one file per backbone (`lite0`, `vgg16`), one for the FCN part that they share
(`fcn`), and what makes them exact (`exact`).

`ARCHITECTURES` has them by the names that `model.yaml` uses. Torch is imported by those who build.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, get_args

from handlers.net.options import BILINEAR, ArchitectureName, Upsampling, VggOptions

if TYPE_CHECKING:
    from handlers.net.backbone import Backbone
    from handlers.net.fcn import FCN


@dataclass(frozen=True, slots=True)
class Architecture:
    """One stage of the paper on one backbone."""

    stride: Literal[32, 16, 8]
    backbone: Literal["lite0", "vgg16"]

    @classmethod
    def of(cls, name: str) -> "Architecture":
        stage, _, backbone = name.partition("-")
        strides: dict[str, Literal[32, 16, 8]] = {"fcn32s": 32, "fcn16s": 16, "fcn8s": 8}
        return cls(strides[stage], "lite0" if backbone == "lite0" else "vgg16")

    def __call__(
        self, classes: int, vgg16: VggOptions | None = None, upsampling: Upsampling = BILINEAR
    ) -> "FCN":
        """Build it with random weights: 3.4 million of them on Lite0, 134 million on VGG16 unless
        options say less.
        """
        from handlers.net.fcn import FCN

        return FCN(self._build_backbone(vgg16 or VggOptions()), classes, self.stride, upsampling)

    def _build_backbone(self, vgg16: VggOptions) -> "Backbone":
        from handlers.net.lite0 import Lite0
        from handlers.net.vgg16 import Vgg16

        if self.backbone == "lite0":
            return Lite0()
        return Vgg16(
            paper_padding=vgg16.padding != "same",
            channels=vgg16.channels,
            fc_channels=vgg16.fc_channels,
        )


ARCHITECTURES: Mapping[str, Architecture] = MappingProxyType(
    {name: Architecture.of(name) for name in get_args(ArchitectureName)}
)
