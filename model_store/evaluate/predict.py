"""A photo in, its labels out: by a model in this process, exactly as the worker computes them."""

from collections.abc import Callable
from pathlib import Path

from handlers import photo
from handlers.device import Device
from handlers.labels import Surface
from handlers.model_config import ModelConfig, load_config
from handlers.network import Network
from handlers.photo import Pixels
from model_store.labelled import Labels

# a photo's pixels at its own size, to labels of the same size
Predictor = Callable[[Pixels], Labels]


def in_process(folder: Path, device: Device) -> Predictor:
    """Load a model's folder; raises WeightsError."""
    config = load_config(folder)
    network = Network(config, folder, device)
    return lambda pixels: predict(network, config, pixels)


def predict(network: Network, config: ModelConfig, pixels: Pixels) -> Labels:
    """Reduce to the working size, score, and label every pixel of the photo's own size."""
    height, width = pixels.shape[:2]
    working = photo.fit(height, width, config.working_max_side)
    (scores,) = network.scores([photo.reduce(pixels, working)], network.frame(working))
    surface = Surface(scores, network.score_place, working, (height, width))
    labels: Labels = surface.labels().cpu().numpy()
    return labels
