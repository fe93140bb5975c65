"""The first stage: an image's bytes in, RGB pixels of the network's working size out.

Runs without the GIL (`handlers.stages.codecs`). Called by `handlers.pipeline`.
"""

from dataclasses import dataclass

from handlers.job import Job
from handlers.runtime.labels import OutputRequest
from handlers.shared import photo
from handlers.shared.frame import Size


@dataclass(frozen=True, slots=True)
class Photo:
    """An image whose header is read: its sizes are known, no pixel is decoded yet."""

    job: Job
    header: photo.Header
    size: Size
    working_size: Size

    @property
    def request_id(self) -> str:
        return self.job.request_id

    @property
    def pixels(self) -> int:
        return self.size[0] * self.size[1]

    @property
    def output_request(self) -> OutputRequest:
        """What its answer asks of its scores."""
        return OutputRequest(self.size, confidence=self.job.options.output == "confidence")


def open_photo(job: Job, working_max_side: int) -> Photo:
    """Read the header; raises ProblemError.

    The gateway has checked formats and pixel limits.
    """
    header = photo.read_header(job.body, photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS)
    size = header.size(job.options.orientation)
    working_size = photo.fit(*size, job.options.max_side or working_max_side)
    return Photo(job, header, size, working_size)


def decode(opened: Photo, memory: photo.Pixels | None = None) -> photo.Pixels:
    """Decode to (h, w, 3) RGB at the working size, into `memory` of that size if there is some;
    raises ProblemError.
    """
    pixels = photo.decode(opened.job.body, opened.header, opened.job.options.orientation)
    reduced = photo.reduce(pixels, opened.working_size)
    if memory is None:
        return reduced
    memory[...] = reduced
    return memory
