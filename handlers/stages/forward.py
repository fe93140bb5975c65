"""The network's stage: a group's pixels in, labels out; a failure stops one photo only.

Called by `handlers.pipeline`, group after group.
"""

import logging
import time
from collections.abc import Mapping

from handlers.log import with_fields
from handlers.runtime.canvas_batch import CanvasBatch
from handlers.runtime.labels import PendingLabels
from handlers.runtime.network import Network
from handlers.shared.errors import ProblemError
from handlers.shared.frame import Frame
from handlers.shared.photo import Pixels
from handlers.shared.wire import GroupFigures
from handlers.stages.decode import Photo
from handlers.stages.outcome import Outcome, translate
from handlers.stages.plan import Group

logger = logging.getLogger(__name__)

Outcomes = dict[int, Outcome[PendingLabels]]  # by the index of the photo in its batch


def forward(
    network: Network,
    group: Group,
    photos: Mapping[int, Photo],
    decoded: Mapping[int, Outcome[Pixels]],
    batch: CanvasBatch | None = None,
) -> Outcomes:
    """Label a group's photos, which may have been decoded into a `batch`; each report gets the time
    of the whole group.

    A pass is known to be exact for the number of photos that it was planned for: where decoding has
    stopped one of them, the others run in single passes.
    """
    started = time.perf_counter()
    outcomes: Outcomes = {}
    pixels: dict[int, Pixels] = {}
    for index, one in decoded.items():
        if isinstance(one.value, ProblemError):
            outcomes[index] = Outcome(one.value)
        else:
            pixels[index] = one.value
    if outcomes:
        outcomes |= run_single_passes(network, photos, pixels)
    else:
        outcomes = run_pass(network, group.canvas, photos, pixels, batch)
    ended = time.perf_counter()
    return {
        index: after(decoded[index], one, (ended - started) * 1000)
        for index, one in outcomes.items()
    }


def run_pass(
    network: Network,
    canvas: Frame,
    photos: Mapping[int, Photo],
    pixels: Mapping[int, Pixels],
    batch: CanvasBatch | None = None,
) -> Outcomes:
    """Run one pass; where it fails for several photos, each gets a pass of its own.

    The figures of a pass that was run are in its first photo's report.
    """
    requests = [photos[index].output_request for index in pixels]
    try:
        labels = network.label(batch or list(pixels.values()), requests, canvas)
    except Exception as error:  # noqa: BLE001 - translated, and logged where unforeseen
        ids = [photos[index].request_id for index in pixels]
        if len(pixels) == 1:
            return dict.fromkeys(pixels, Outcome(translate(error, ids[0])))
        logger.warning(
            "%s in a pass over %d photos on %dx%d; each is tried in a single pass",
            type(error).__name__,
            len(pixels),
            canvas.width,
            canvas.height,
            extra=with_fields(request_ids=ids),
        )
    else:
        first, *others = zip(pixels, labels, strict=True)
        figures = pass_figures(canvas, pixels)
        return {first[0]: Outcome(first[1], group=figures)} | {
            index: Outcome(pending) for index, pending in others
        }
    # outside of the handler: until its end the traceback keeps the failed pass's memory
    return run_single_passes(network, photos, pixels)


def run_single_passes(
    network: Network, photos: Mapping[int, Photo], pixels: Mapping[int, Pixels]
) -> Outcomes:
    outcomes: Outcomes = {}
    for index, one in pixels.items():
        outcomes |= run_pass(network, network.single_canvas(one.shape[:2]), photos, {index: one})
    return outcomes


def pass_figures(canvas: Frame, pixels: Mapping[int, Pixels]) -> GroupFigures:
    """Count a pass's pixels: the photos' own, and those of all their canvases."""
    valid_pixels = sum(one.shape[0] * one.shape[1] for one in pixels.values())
    return GroupFigures(len(pixels), valid_pixels, canvas.pixels * len(pixels))


def after(
    decoded: Outcome[Pixels], labelled: Outcome[PendingLabels], ms: float
) -> Outcome[PendingLabels]:
    """Continue a photo's outcome with its forward pass."""
    return decoded.with_stage("forward", ms, labelled.group).with_value(labelled.value)
