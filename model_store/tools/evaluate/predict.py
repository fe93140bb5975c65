"""Photos' files in, their labels out: by a model in this process, exactly as the worker does it."""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import torch

from handlers.model_config import ModelConfig, Precision, load_config
from handlers.runtime.device import Device, choose_device
from handlers.runtime.network import Network
from handlers.runtime.upsample import Wanted
from handlers.shared import photo
from model_store.tools.dataset.labelled import FORMATS, Labels

# the bytes of photos, to the labels of each at its own size, in the same order
Predictor = Callable[[Iterable[bytes]], Iterator[Labels]]


def in_process(folder: Path, device: str = "cpu") -> Predictor:
    """Load a model's folder onto a device, by torch's name for it; raises WeightsError."""
    config = load_config(folder)
    network = Network.on(device_of(device, config.precision), config, folder)
    return lambda bodies: (predict(network, config, body) for body in bodies)


def device_of(name: str, precision: Precision) -> Device:
    """Give a device in the precision that serving has there."""
    place = torch.device(name)
    return choose_device((place.index or 0) if place.type == "cuda" else None, precision)


def predict(network: Network, config: ModelConfig, body: bytes) -> Labels:
    """Reduce to the working size, score, and label every pixel of the photo's own size.

    Raises ProblemError for what is no photo.
    """
    pixels = photo.decode(body, photo.read_header(body, FORMATS))
    height, width = pixels.shape[:2]
    working = photo.fit(height, width, config.working_max_side)
    wanted = Wanted((height, width))
    (reading,) = network.label([photo.reduce(pixels, working)], [wanted], network.frame(working))
    return reading().labels
