"""The second step, admit: an image's bytes and the request's options go in; the image comes out,
checked against all limits that need no worker, with its size and predicted cost.

Called by `service.pipeline.segment`; a batch runs it for each of its images.
"""

import asyncio
from dataclasses import dataclass
from typing import NamedTuple

from handlers.shared import photo
from handlers.shared.frame import Frame
from service.metrics.images import ImageMetrics
from service.metrics.stage_times import StageTimes
from service.pipeline.admission import Permit
from service.pipeline.options import RequestOptions
from service.settings import Settings

# the header of a larger body is read in a thread: its metadata may be in thousands of pieces
INLINE_HEADER_BYTES = 64_000


class AdmittedImage(NamedTuple):
    """An image file, its own pixels, the frame that the network gets, and its predicted cost."""

    body: bytes
    pixels: int
    frame: Frame
    cost_s: float


@dataclass(frozen=True, slots=True)
class AdmitStep:
    """Checks images by their headers."""

    settings: Settings
    metrics: ImageMetrics

    async def __call__(
        self, body: bytes, options: RequestOptions, permit: Permit, stages: StageTimes
    ) -> AdmittedImage:
        """Check an image, and count its predicted cost on its permit; raises ProblemError."""
        with stages.timing("admit"):
            if len(body) > INLINE_HEADER_BYTES:
                header = await asyncio.to_thread(self._check_header, body)
            else:
                header = self._check_header(body)
            pixels = header.height * header.width
            self.metrics.observe_photo(pixels)
            frame = options.frame(header)
            cost_s = options.cost_s(header, len(body), frame, self.settings.max_image_seconds)
            permit.add_seconds(cost_s)
            return AdmittedImage(body, pixels, frame, cost_s)

    def _check_header(self, body: bytes) -> photo.Header:
        header = photo.read_header(body, self.settings.formats)
        photo.check_pixels(header, self.settings.max_pixels)
        return header
