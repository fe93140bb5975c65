"""Photos' files in, their labels out: by a model in this process, exactly as the worker does it.

Called by `fcnserve model evaluate` and by the validation of a training.
"""

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from handlers.model_config import ModelConfig, load_config
from handlers.runtime.labels import OutputRequest
from handlers.runtime.load_network import load_network
from handlers.runtime.network import Network
from handlers.runtime.weights import WeightsError
from handlers.shared import photo
from model_store.tools.archive.model_folder import ModelFolderError
from model_store.tools.dataset.labelled import FORMATS, Labels
from model_store.tools.evaluate.device import device_of

# the bytes of photos, to the labels of each at its own size, in the same order
Predictor = Callable[[Iterable[bytes]], Iterator[Labels]]


def in_process(folder: Path, device: str = "cpu") -> Predictor:
    """Load a model's folder onto a device, by torch's name for it; raises ModelFolderError."""
    config = load_config(folder)
    try:
        network = load_network(device_of(device, config.precision), config, folder)
    except WeightsError as error:
        raise ModelFolderError(str(error)) from error
    return lambda bodies: (predict(network, config, body) for body in bodies)


def predict(network: Network, config: ModelConfig, body: bytes) -> Labels:
    """Reduce to the working size, score, and label every pixel of the photo's own size.

    Raises ProblemError for a broken photo.
    """
    pixels = photo.decode(body, photo.read_header(body, FORMATS))
    height, width = pixels.shape[:2]
    working = photo.fit(height, width, config.working_max_side)
    request = OutputRequest((height, width))
    (pending,) = network.label([photo.reduce(pixels, working)], [request], network.frame(working))
    labels, _ = pending.read()
    return labels
