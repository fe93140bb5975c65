"""Weights on disk in, scores out: loads a model folder's network and runs it on a group of photos
of equal frame.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, fx, nn

from handlers.device import Device
from handlers.model_config import ModelConfig
from handlers.net import ARCHITECTURES
from handlers.net.fold import fold_batch_norms, replace_layer
from handlers.net.layers import OneDnnConv2d
from handlers.net.tracing import trace
from handlers.plan import Frame

BACKBONE = "backbone."
# layers whose fixed kernels a checkpoint may leave out
FIXED_LAYERS = ("upscore2.", "upscore_pool4.")

# a photo of everyday size
WARM_UP_SIZE = (384, 512)


class WeightsError(ValueError):
    """The weights file does not fit the architecture that `model.yaml` names."""


class Network:
    """One model on one device, batch-norm folded."""

    def __init__(self, config: ModelConfig, folder: Path, device: Device) -> None:
        self.device = device
        if device.kind == "cpu":
            torch.set_num_threads(device.threads)
        net = load_net(config, folder / config.weights)
        self._net = with_onednn(fold_batch_norms(trace(net)))
        self._net.to(device.torch_device, device.dtype)
        self._net.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # untyped
        self._mean = torch.tensor(config.normalisation.mean, device=device.torch_device)
        self._std = torch.tensor(config.normalisation.std, device=device.torch_device)

    def warm_up(self) -> None:
        """Run once, so that the first request pays for no preparation of the libraries below."""
        self.scores([np.zeros((*WARM_UP_SIZE, 3), np.uint8)], Frame.of(WARM_UP_SIZE))

    @torch.inference_mode()
    def scores(self, photos: Sequence[NDArray[np.uint8]], frame: Frame) -> Tensor:
        """Score photos (h, w, 3), all of the same `frame`: (N, classes, frame.height / 8,
        frame.width / 8).
        """
        canvas = torch.zeros(
            (len(photos), frame.height, frame.width, 3), device=self.device.torch_device
        )
        for place, photo in zip(canvas, photos, strict=True):
            height, width = photo.shape[:2]
            pixels = torch.from_numpy(np.require(photo, requirements="W"))
            place[:height, :width] = (pixels.to(self.device.torch_device) - self._mean) / self._std
        # (N, H, W, 3) seen as (N, 3, H, W): channels_last, no copy
        scores: Tensor = self._net(canvas.permute(0, 3, 1, 2).to(self.device.dtype))
        return scores.float()


def with_onednn(net: fx.GraphModule) -> fx.GraphModule:
    """Take one kind of convolution kernel for all shapes: a photo's scores do not depend on the
    number of others in its group.
    """
    for node in net.graph.nodes:
        if node.op == "call_module":
            layer = net.get_submodule(str(node.target))
            if isinstance(layer, nn.Conv2d):
                replace_layer(net, node, OneDnnConv2d.of(layer))
    return net


def load_net(config: ModelConfig, weights: Path) -> nn.Module:
    """Build the architecture and fill it; raises WeightsError naming what does not match."""
    net = ARCHITECTURES[config.architecture](len(config.classes)).eval()
    try:
        state = {backbone_key(key): value for key, value in load_file(weights).items()}
        missing, unexpected = net.load_state_dict(state, strict=False)
    except SafetensorError as error:
        raise WeightsError(f"{weights.name} is no safetensors file: {error}") from error
    except RuntimeError as error:
        raise WeightsError(f"{weights.name}: {error}") from error
    missing = [key for key in missing if not key.startswith(FIXED_LAYERS)]
    if missing or unexpected:
        raise WeightsError(
            f"{weights.name} does not fit {config.architecture}: "
            f"missing {checkpoint_keys(missing)}, unexpected {checkpoint_keys(unexpected)}"
        )
    return net.requires_grad_(requires_grad=False)


def backbone_key(key: str) -> str:
    """Checkpoints name backbone and score layers side by side."""
    return key if key.startswith(("score_", "upscore")) else f"{BACKBONE}{key}"


def checkpoint_keys(keys: Sequence[str]) -> list[str]:
    return [key.removeprefix(BACKBONE) for key in keys]
