"""The network's verb: a group's pixels in, label maps out; no photo pays for another's failure."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass

from handlers.log import with_fields
from handlers.runtime.network import Network, Reading
from handlers.shared.errors import ProblemError
from handlers.shared.frame import Frame
from handlers.shared.photo import Pixels
from handlers.shared.wire import GroupFigures
from handlers.stages.decode import Opened
from handlers.stages.outcome import translate
from handlers.stages.plan import Group

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Forwarded:
    """How to read a photo's label map, or what stopped it.

    The first photo of each pass that was run carries the pass's figures.
    """

    reading: Reading | ProblemError
    figures: GroupFigures | None = None


def forward(
    network: Network,
    group: Group,
    photos: Mapping[int, Pixels | ProblemError],
    opened: Mapping[int, Opened],
) -> dict[int, Forwarded]:
    """Label a group's photos, by their place in the batch.

    A pass is known to be exact for the number of photos that it was planned for: where one of them
    was stopped in decoding, the others run alone.
    """
    forwarded: dict[int, Forwarded] = {}
    sound: dict[int, Pixels] = {}
    for place, photo in photos.items():
        if isinstance(photo, ProblemError):
            forwarded[place] = Forwarded(photo)
        else:
            sound[place] = photo
    if forwarded:
        return forwarded | one_by_one(network, sound, opened)
    return run_pass(network, group.canvas, sound, opened)


def run_pass(
    network: Network, canvas: Frame, photos: Mapping[int, Pixels], opened: Mapping[int, Opened]
) -> dict[int, Forwarded]:
    """Run one pass; where it fails for several photos, each is tried alone."""
    try:
        wanted = [opened[place].wanted for place in photos]
        readings = network.label(list(photos.values()), wanted, canvas)
    except Exception as error:  # noqa: BLE001 - translated, and logged where unforeseen
        ids = [opened[place].request_id for place in photos]
        if len(photos) == 1:
            return dict.fromkeys(photos, Forwarded(translate(error, ids[0])))
        logger.warning(
            "%s in a pass over %d photos on %dx%d; each is tried alone",
            type(error).__name__,
            len(photos),
            canvas.width,
            canvas.height,
            extra=with_fields(request_ids=ids),
        )
    else:
        forwarded = {place: Forwarded(one) for place, one in zip(photos, readings, strict=True)}
        first = next(iter(photos))
        return forwarded | {first: Forwarded(readings[0], pass_figures(canvas, photos))}
    # out of the handler: until its end the traceback keeps the failed pass's memory
    return one_by_one(network, photos, opened)


def one_by_one(
    network: Network, photos: Mapping[int, Pixels], opened: Mapping[int, Opened]
) -> dict[int, Forwarded]:
    forwarded: dict[int, Forwarded] = {}
    for place, photo in photos.items():
        frame = network.frame(photo.shape[:2])
        forwarded |= run_pass(network, frame, {place: photo}, opened)
    return forwarded


def pass_figures(canvas: Frame, photos: Mapping[int, Pixels]) -> GroupFigures:
    """Count a pass's pixels: the photos' own, and those of the canvases that they lay on."""
    valid_pixels = sum(photo.shape[0] * photo.shape[1] for photo in photos.values())
    return GroupFigures(len(photos), valid_pixels, canvas.pixels * len(photos))
