"""The network's verb: one group's pixels in, scores out, and no photo pays for another's
failure.
"""

import logging
from collections.abc import Mapping, Sequence

from torch import Tensor

from handlers.decode import Pixels, Size
from handlers.errors import ProblemError
from handlers.job import GroupFigures
from handlers.network import Network
from handlers.outcome import translate
from handlers.plan import Frame

logger = logging.getLogger(__name__)


def forward(
    network: Network, frame: Frame, photos: Mapping[int, Pixels | ProblemError]
) -> dict[int, Tensor | ProblemError]:
    """Score the photos of a group, by their place in the batch; those already stopped stay so."""
    stopped: dict[int, Tensor | ProblemError] = {}
    sound: dict[int, Pixels] = {}
    for place, photo in photos.items():
        if isinstance(photo, ProblemError):
            stopped[place] = photo
        else:
            sound[place] = photo
    return stopped | score(network, frame, sound)


def score(
    network: Network, frame: Frame, photos: Mapping[int, Pixels]
) -> dict[int, Tensor | ProblemError]:
    """Run one pass; where it fails for several photos, each is tried alone."""
    if not photos:
        return {}
    try:
        return dict(zip(photos, network.scores(list(photos.values()), frame), strict=True))
    except Exception as error:  # noqa: BLE001 - translated, and logged where unforeseen
        if len(photos) == 1:
            return dict.fromkeys(photos, translate(error))
        logger.warning(
            "%s in a pass over %d photos of %dx%d; each is tried alone",
            type(error).__name__,
            len(photos),
            frame.width,
            frame.height,
        )
    # out of the handler: until its end the traceback keeps the failed pass's memory
    alone: dict[int, Tensor | ProblemError] = {}
    for place, photo in photos.items():
        alone |= score(network, frame, {place: photo})
    return alone


def group_figures(frame: Frame, sizes: Sequence[Size]) -> GroupFigures | None:
    """Count a pass's pixels: the photos' own, and those of the canvases that they lay on.

    None where no photo of the group was left to go through the network.
    """
    if not sizes:
        return None
    valid_pixels = sum(height * width for height, width in sizes)
    return GroupFigures(len(sizes), valid_pixels, frame.pixels * len(sizes))
