"""The null network answers each photo with the label map of its size."""

import numpy as np
import torch

from handlers.model_config import Batching
from handlers.runtime.device import Device
from handlers.runtime.labels import OutputRequest
from handlers.runtime.warm_up.run import warm_up
from loadtest.front.null_network import CERTAIN, NullNetwork

LABELS = np.array([[0, 1, 2], [3, 4, 5]], np.uint8)
NETWORK = NullNetwork(Device(torch.device("cpu"), "fp32", 1), {(2, 3): LABELS})
PHOTO = np.zeros((2, 3, 3), np.uint8)


def test_a_photo_gets_the_map_of_its_size_in_any_batch() -> None:
    requests = [OutputRequest((5, 4)), OutputRequest((2, 3))]
    other, ready = NETWORK.label([PHOTO, PHOTO], requests, NETWORK.frame((2, 3)))
    labels, confidence = ready.read()
    assert np.array_equal(labels, LABELS)
    assert confidence is None
    assert other.read()[0].shape == (5, 4)


def test_confidence_has_the_size_of_the_labels() -> None:
    request = OutputRequest((2, 3), confidence=True)
    (ready,) = NETWORK.label([PHOTO], [request], NETWORK.frame((2, 3)))
    _, confidence = ready.read()
    assert confidence is not None
    assert np.array_equal(confidence, np.full((2, 3), CERTAIN))


def test_the_warm_up_admits_no_shared_passes() -> None:
    assert not warm_up(NETWORK, Batching()).shared
