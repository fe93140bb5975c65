"""A model on its device: what the networks of a processor and of a GPU have in common.

`handlers.runtime.load_network` chooses one of `handlers.runtime.network_cpu` and
`handlers.runtime.network_cuda`.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from handlers.model_config import ModelConfig
from handlers.net.exact.geometry import Placement
from handlers.net.exact.network import ExactNet
from handlers.net.exact.rewrite import Blanking
from handlers.runtime.canvas_batch import CanvasBatch, CanvasShape
from handlers.runtime.device import Device
from handlers.runtime.labels import OutputRequest, PendingLabels
from handlers.runtime.weights import load_net
from handlers.shared.frame import Frame, Size
from handlers.shared.photo import Pixels

# of the sides of single passes' canvases: that of most networks
SINGLE_STRIDE = 32


class Network(ABC):
    """One model on one device: batch-norm folded, the same scores on any canvas, in any batch."""

    blanking: Blanking
    # the fewest photos for which a pass on a shared canvas can be faster than one on their frames
    fewest_shared: int

    def __init__(self, config: ModelConfig, folder: Path, device: Device) -> None:
        """Load the weights onto the device; raises WeightsError."""
        self.device = device
        net = load_net(config, folder / config.weights)
        self.score_placement: Placement = net.score_placement
        self.stride: int = net.frame_stride
        self._net = ExactNet(net, self.blanking).to(device.torch_device, device.dtype)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped
        self._mean = torch.tensor(config.normalisation.mean, device=device.torch_device)
        self._std = torch.tensor(config.normalisation.std, device=device.torch_device)

    def frame(self, size: Size) -> Frame:
        """Return what of a canvas belongs to a photo of (height, width) `size`."""
        return Frame.of(size, self.stride)

    def single_canvas(self, size: Size) -> Frame:
        """Return the canvas of the single pass of a photo of (height, width) `size`.

        It depends on nothing else, and neither may the answer. There are few of them, so warm-up
        can compare them all with the passes that photos share.
        """
        return Frame.of(self.frame(size), SINGLE_STRIDE)

    def frames(self, photos: Sequence[Pixels], canvas: Frame) -> list[Frame]:  # noqa: ARG002 - overridden by benchmarks
        """Return what of a canvas belongs to each photo (h, w, 3): its own frame."""
        return [self.frame(photo.shape[:2]) for photo in photos]

    def canvas_batches(self, shapes: Sequence[CanvasShape]) -> list[CanvasBatch | None]:
        """Allocate memory that groups' photos may be decoded into, before `label` is called with
        it; None where arrays of their own are as good: a processor normalises them in any case.
        """
        return [None] * len(shapes)

    @abstractmethod
    def scores(self, photos: Sequence[Pixels], canvas: Frame) -> list[Tensor]:
        """Score photos (h, w, 3) on one canvas: (classes, h, w) each, of its own frame."""

    @abstractmethod
    def label(
        self, photos: Sequence[Pixels], requests: Sequence[OutputRequest], canvas: Frame
    ) -> list[PendingLabels]:
        """Score photos (h, w, 3) on one canvas; return the labels of each, not yet computed."""

    @abstractmethod
    def prepare(self, images: int, canvas: Frame) -> None:
        """Prepare passes of so many photos on `canvas`."""

    @abstractmethod
    def forget(self, images: int, canvas: Frame) -> None:
        """Undo `prepare`."""

    @abstractmethod
    def synchronise(self) -> None:
        """Wait until the device has done all that was queued."""

    def end_warm_up(self) -> None:  # noqa: B027 - nothing, unless overridden
        """Choose no more kernels by timing them."""

    def _crop_scores(self, scores: Tensor, photos: Sequence[Pixels]) -> list[Tensor]:
        """Cut each photo's scores out of those of its canvas."""
        sizes = (self._net.score_size(self.frame(photo.shape[:2])) for photo in photos)
        return [one[:, :height, :width] for one, (height, width) in zip(scores, sizes, strict=True)]
