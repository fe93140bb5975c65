"""The work of a server in plain PyTorch and Pillow: JPEGs in, PNGs out.

The same network, weights and precision, written as tutorials show it: no convolution is fused or
packed, every pixel's scores are interpolated, Pillow reads and writes. This is a trained network
before the optimisations of `handlers`. Called by `loadtest.peers.servers.photo_work`.
"""

from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn import functional as F  # noqa: N812 - its usual name

from handlers.model_config import load_config
from handlers.runtime.device import choose_device
from handlers.runtime.weights import load_net
from loadtest.peers.servers.setup import Setup


class PlainWork:
    """A loaded model; a photo is padded to its own frame alone."""

    def __init__(self, setup: Setup) -> None:
        folder = Path(setup.model)
        self._config = load_config(folder)
        device = choose_device(None, self._config.precision)
        torch.set_num_threads(device.threads)
        self._dtype = device.dtype
        self._net = load_net(self._config, folder / self._config.weights).to(self._dtype)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped
        self._mean = torch.tensor(self._config.normalisation.mean).view(3, 1, 1)
        self._std = torch.tensor(self._config.normalisation.std).view(3, 1, 1)

    def answer(self, bodies: Sequence[bytes | bytearray]) -> list[bytes]:
        """Segment JPEGs, one after the other."""
        return [self._png(self._labels(read(body))) for body in bodies]

    @torch.inference_mode()
    def _labels(self, photo: Image.Image) -> Tensor:
        """Return every pixel's class: (H, W) uint8."""
        side, working = self._config.working_max_side, photo.copy()
        working.thumbnail((side, side))
        pixels = torch.from_numpy(np.array(working)).permute(2, 0, 1)
        x = self._framed((pixels.float() - self._mean) / self._std)
        scores = self._net(x.to(self._dtype).contiguous(memory_format=torch.channels_last)).float()
        full = F.interpolate(scores, x.shape[2:], mode="bilinear")
        full = full[..., : working.height, : working.width]
        if working.size != photo.size:
            full = F.interpolate(full, (photo.height, photo.width), mode="bilinear")
        return full[0].argmax(0).to(torch.uint8)

    def _framed(self, photo: Tensor) -> Tensor:
        """Pad (3, H, W) with zeros to multiples of the network's stride: (1, 3, H', W')."""
        height, width = photo.shape[1:]
        stride = self._net.frame_stride
        return F.pad(photo[None], (0, -width % stride, 0, -height % stride))

    def _png(self, labels: Tensor) -> bytes:
        image = Image.fromarray(labels.numpy())
        image.putpalette(self._config.palette_bytes)
        png = BytesIO()
        image.save(png, "PNG")
        return png.getvalue()


def read(body: bytes | bytearray) -> Image.Image:
    return Image.open(BytesIO(body)).convert("RGB")
