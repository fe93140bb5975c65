"""Weights on disk in, scores out: loads a model folder's network and runs it on photos."""

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from handlers.model_config import ModelConfig
from handlers.net import ARCHITECTURES
from handlers.net.exact.geometry import Place
from handlers.net.exact.network import Blanking, ExactNet
from handlers.net.fcn import FCN
from handlers.runtime.device import Device, prepare_cpu
from handlers.runtime.upsample import LabelMap, Wanted, read
from handlers.shared.frame import Frame, Size
from handlers.shared.photo import Pixels

BACKBONE = "backbone."

# makes or waits for a photo's label map; whoever encodes it calls this, in a thread
Reading = Callable[[], LabelMap]


class WeightsError(ValueError):
    """The weights file does not fit the architecture that `model.yaml` names."""


class Network:
    """One model on one device: batch-norm folded, exact on any canvas and in any company.

    This one is for a processor; `handlers.runtime.network_cuda` has the other.
    """

    blanking: Blanking = "strips"
    # photos on a canvas that may be larger than their own; one alone gains nothing from it here
    fewest_shared = 2

    @classmethod
    def on(cls, device: Device, config: ModelConfig, folder: Path) -> "Network":
        """Load the model for the device; raises WeightsError."""
        if device.kind != "cuda":
            return Network(config, folder, device)
        from handlers.runtime.network_cuda import GpuNetwork

        return GpuNetwork(config, folder, device)

    def __init__(self, config: ModelConfig, folder: Path, device: Device) -> None:
        self.device = device
        if device.kind == "cpu":
            prepare_cpu(device.threads)
        net = load_net(config, folder / config.weights)
        self.score_place: Place = net.score_place
        self.stride: int = net.frame_stride
        self._net = ExactNet(net, self.blanking).to(device.torch_device, device.dtype)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped
        self._mean = torch.tensor(config.normalisation.mean, device=device.torch_device)
        self._std = torch.tensor(config.normalisation.std, device=device.torch_device)

    def frame(self, size: Size) -> Frame:
        """The canvas of a lone photo of (height, width) `size`."""
        return Frame.of(size, self.stride)

    def frames(self, photos: Sequence[Pixels], canvas: Frame) -> list[Frame]:  # noqa: ARG002 - others look at it
        """What of a canvas belongs to each photo (h, w, 3): its own frame."""
        return [self.frame(photo.shape[:2]) for photo in photos]

    @torch.inference_mode()
    def scores(self, photos: Sequence[Pixels], canvas: Frame) -> list[Tensor]:
        """Score photos (h, w, 3) on one canvas: (classes, h, w) each, of its own frame."""
        scores = self._net(self._lay_out(photos, canvas), self.frames(photos, canvas)).float()
        return self._own(scores, photos)

    def label(
        self, photos: Sequence[Pixels], wanted: Sequence[Wanted], canvas: Frame
    ) -> list[Reading]:
        """Score photos (h, w, 3) on one canvas, and say how to read each one's label map."""
        return [
            partial(read, scores, self.score_place, photo.shape[:2], want)
            for scores, photo, want in zip(self.scores(photos, canvas), photos, wanted, strict=True)
        ]

    def prepare(self, images: int, canvas: Frame) -> None:
        """Get ready for passes of so many photos; a processor has nothing to do."""

    def forget(self, images: int, canvas: Frame) -> None:
        """Undo `prepare`."""

    def synchronise(self) -> None:
        """Wait until the device has done all that it was given; a processor has by itself."""

    def _own(self, scores: Tensor, photos: Sequence[Pixels]) -> list[Tensor]:
        """Cut each photo's scores out of those of its canvas."""
        sizes = (self._net.score_size(self.frame(photo.shape[:2])) for photo in photos)
        return [one[:, :height, :width] for one, (height, width) in zip(scores, sizes, strict=True)]

    def _lay_out(self, photos: Sequence[Pixels], canvas: Frame) -> Tensor:
        """Put normalised photos into the top-left corners of zero canvases: (N, 3, H, W)."""
        device = self.device.torch_device
        canvases = torch.zeros((len(photos), *canvas, 3), dtype=self.device.dtype, device=device)
        for place, photo in zip(canvases, photos, strict=True):
            height, width = photo.shape[:2]
            pixels = torch.from_numpy(np.require(photo, requirements="W")).to(device)
            # whole rows at a time: loops over three numbers take several times as long
            mean, std = self._mean.repeat(width), self._std.repeat(width)  # (w 3,)
            rows = pixels.flatten(1).float().sub_(mean).div_(std)  # (h, w 3)
            place[:height, :width] = rows.view(height, width, 3)
        return canvases.permute(0, 3, 1, 2)  # channels_last: no copy


def load_net(config: ModelConfig, weights: Path) -> FCN:
    """Build the architecture and fill it; raises WeightsError naming what does not match."""
    net = build_net(config)
    fixed = {key for key, weight in net.named_parameters() if not weight.requires_grad}
    net.eval().requires_grad_(requires_grad=False)
    try:
        state = {backbone_key(key): value for key, value in load_file(weights).items()}
        missing, unexpected = net.load_state_dict(state, strict=False)
    except SafetensorError as error:
        raise WeightsError(f"{weights.name} is no safetensors file: {error}") from error
    except RuntimeError as error:
        raise WeightsError(f"{weights.name}: {error}") from error
    missing = [key for key in missing if key not in fixed]
    if missing or unexpected:
        raise WeightsError(
            f"{weights.name} does not fit {config.architecture}: "
            f"missing {checkpoint_keys(missing)}, unexpected {checkpoint_keys(unexpected)}"
        )
    return net


def build_net(config: ModelConfig) -> FCN:
    """Build the architecture with random weights, in training mode."""
    architecture = ARCHITECTURES[config.architecture]
    return architecture(len(config.classes), config.vgg16, config.upsampling, config.lite)


def backbone_key(key: str) -> str:
    """Checkpoints name backbone and score layers side by side."""
    return key if key.startswith(("score_", "upscore")) else f"{BACKBONE}{key}"


def checkpoint_keys(keys: Sequence[str]) -> list[str]:
    return [key.removeprefix(BACKBONE) for key in keys]
