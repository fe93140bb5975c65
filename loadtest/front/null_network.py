"""A network that costs nothing: a photo's size in, its ready-made label map out.

Takes the place of `handlers.runtime.load_network` in the archive that `loadtest.front.archive`
packs; its "weights" are the label maps. All else in the archive is the worker's own code.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handlers.model_config import ModelConfig
from handlers.net.exact.rewrite import STRIPS
from handlers.runtime.device import Device
from handlers.runtime.labels import LabelArray, OutputRequest, PendingLabels
from handlers.runtime.network import Network
from handlers.shared.frame import Frame, Size
from handlers.shared.photo import Pixels
from loadtest.traffic.label_maps import read_label_maps

STRIDE = 32
CERTAIN = 255


def load_network(device: Device, config: ModelConfig, folder: Path) -> Network:
    """Read the label maps; raises OSError."""
    return NullNetwork(device, read_label_maps(folder / config.weights))


class NullNetwork(Network):
    """Looks labels up; a size without a map, as in the warm-up, gets class 0 everywhere."""

    blanking = STRIPS
    fewest_shared = 1_000_000  # no pass is shared: none takes any time

    def __init__(self, device: Device, maps: Mapping[Size, LabelArray]) -> None:
        self.device, self.stride, self._maps = device, STRIDE, maps

    def scores(self, photos: Sequence[Pixels], canvas: Frame) -> list[Tensor]:  # noqa: ARG002 - a network's
        return [torch.zeros(1, 1, 1) for _ in photos]

    def label(
        self,
        photos: Sequence[Pixels],  # noqa: ARG002 - a network's
        requests: Sequence[OutputRequest],
        canvas: Frame,  # noqa: ARG002 - a network's
    ) -> list[PendingLabels]:
        return [ReadyLabels(self._labels(one.size), one.confidence) for one in requests]

    def prepare(self, images: int, canvas: Frame) -> None:
        """Return at once: there is nothing to prepare."""

    def forget(self, images: int, canvas: Frame) -> None:
        """Return at once: nothing was prepared."""

    def synchronise(self) -> None:
        """Return at once: nothing is computed."""

    def _labels(self, size: Size) -> LabelArray:
        labels = self._maps.get(size)
        return np.zeros(size, np.uint8) if labels is None else labels


@dataclass(frozen=True, slots=True)
class ReadyLabels(PendingLabels):
    """Labels that need no computing."""

    labels: LabelArray  # (H, W)
    has_confidence: bool

    def wait(self) -> None:
        """Return at once."""

    def read(self) -> tuple[LabelArray, LabelArray | None]:
        return self.labels, np.full_like(self.labels, CERTAIN) if self.has_confidence else None
