"""The network's verb: a group's pixels in, scores out; no photo pays for another's failure."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from torch import Tensor

from handlers.decode import Pixels
from handlers.errors import ProblemError
from handlers.job import GroupFigures
from handlers.log import with_fields
from handlers.network import Network
from handlers.outcome import translate
from handlers.plan import Frame, Group

logger = logging.getLogger(__name__)

RequestIds = Mapping[int, str]  # by place in the batch; for the log
UNKNOWN: RequestIds = MappingProxyType({})


@dataclass(frozen=True, slots=True)
class Forwarded:
    """A photo's scores (classes, h, w), or what stopped it.

    The first photo of each pass that was run carries the pass's figures.
    """

    scores: Tensor | ProblemError
    figures: GroupFigures | None = None


def forward(
    network: Network,
    group: Group,
    photos: Mapping[int, Pixels | ProblemError],
    request_ids: RequestIds = UNKNOWN,
) -> dict[int, Forwarded]:
    """Score a group's photos, by their place in the batch.

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
        return forwarded | one_by_one(network, sound, request_ids)
    return run_pass(network, group.canvas, sound, request_ids)


def run_pass(
    network: Network, canvas: Frame, photos: Mapping[int, Pixels], request_ids: RequestIds
) -> dict[int, Forwarded]:
    """Run one pass; where it fails for several photos, each is tried alone."""
    try:
        scores = network.scores(list(photos.values()), canvas)
    except Exception as error:  # noqa: BLE001 - translated, and logged where unforeseen
        ids = [request_ids.get(place, "") for place in photos]
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
        forwarded = {place: Forwarded(one) for place, one in zip(photos, scores, strict=True)}
        first = next(iter(photos))
        return forwarded | {first: Forwarded(scores[0], pass_figures(canvas, photos))}
    # out of the handler: until its end the traceback keeps the failed pass's memory
    return one_by_one(network, photos, request_ids)


def one_by_one(
    network: Network, photos: Mapping[int, Pixels], request_ids: RequestIds
) -> dict[int, Forwarded]:
    forwarded: dict[int, Forwarded] = {}
    for place, photo in photos.items():
        frame = network.frame(photo.shape[:2])
        forwarded |= run_pass(network, frame, {place: photo}, request_ids)
    return forwarded


def pass_figures(canvas: Frame, photos: Mapping[int, Pixels]) -> GroupFigures:
    """Count a pass's pixels: the photos' own, and those of the canvases that they lay on."""
    valid_pixels = sum(photo.shape[0] * photo.shape[1] for photo in photos.values())
    return GroupFigures(len(photos), valid_pixels, canvas.pixels * len(photos))
