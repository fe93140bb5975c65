"""The network on a processor: one thread team computes passes, codec threads compute the labels."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from handlers.model_config import ModelConfig
from handlers.net.exact.rewrite import STRIPS
from handlers.runtime.device import Device, prepare_cpu
from handlers.runtime.labels import OutputRequest, PendingLabels
from handlers.runtime.network import Network
from handlers.runtime.upsample.processor import InterpolatedLabels
from handlers.shared.frame import Frame
from handlers.shared.photo import Pixels


class CpuNetwork(Network):
    """One model on a processor."""

    blanking = STRIPS
    fewest_shared = 2

    def __init__(self, config: ModelConfig, folder: Path, device: Device) -> None:
        prepare_cpu(device.threads)
        super().__init__(config, folder, device)

    @torch.inference_mode()
    def scores(self, photos: Sequence[Pixels], canvas: Frame) -> list[Tensor]:
        """Score photos (h, w, 3) on one canvas: (classes, h, w) each, of its own frame."""
        scores = self._net(self._lay_out(photos, canvas), self.frames(photos, canvas)).float()
        return self._crop_scores(scores, photos)

    def label(
        self, photos: Sequence[Pixels], requests: Sequence[OutputRequest], canvas: Frame
    ) -> list[PendingLabels]:
        """Score photos (h, w, 3) on one canvas; the reading thread computes the labels."""
        return [
            InterpolatedLabels(scores, self.score_placement, photo.shape[:2], request)
            for scores, photo, request in zip(
                self.scores(photos, canvas), photos, requests, strict=True
            )
        ]

    def prepare(self, images: int, canvas: Frame) -> None:
        """Return at once: a processor needs no preparation."""

    def forget(self, images: int, canvas: Frame) -> None:
        """Return at once: nothing was prepared."""

    def synchronise(self) -> None:
        """Return at once: a processor has no queue."""

    def _lay_out(self, photos: Sequence[Pixels], canvas: Frame) -> Tensor:
        """Put normalised photos into the top-left corners of zero canvases: (N, 3, H, W)."""
        canvases = torch.zeros((len(photos), *canvas, 3), dtype=self.device.dtype)
        for corner, photo in zip(canvases, photos, strict=True):
            height, width = photo.shape[:2]
            pixels = torch.from_numpy(np.require(photo, requirements="W"))
            # whole rows at a time: loops over three numbers take several times as long
            mean, std = self._mean.repeat(width), self._std.repeat(width)  # (w 3,)
            rows = pixels.flatten(1).float().sub_(mean).div_(std)  # (h, w 3)
            corner[:height, :width] = rows.view(height, width, 3)
        return canvases.permute(0, 3, 1, 2)  # channels_last: no copy
