"""The problems of an image, as RFC 9457 describes them.

The gateway and the worker both raise these, so that clients get one format and one set of codes.

    ProblemError
    +-- EmptyBodyError             400  empty_body
    +-- BrokenImageError           400  broken_image
    +-- UnsupportedMediaTypeError  415  unsupported_media_type
    +-- TooManyPixelsError         413  too_many_pixels
    +-- SideTooLongError           413  side_too_long
    +-- ImageTooCostlyError        413  too_costly
    +-- WorkerOutOfMemoryError     413  out_of_memory
    +-- ImageCrashesWorkerError    422  image_crashes_worker
    +-- ImageTakesTooLongError     422  image_takes_too_long
    +-- WorkerFailedError          500  worker_failed

A detail is ASCII and our own words: text from an image or a decoder never gets into it.
"""

import json
from typing import ClassVar

PROBLEM_MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """A failure that has a status and a stable code; `str(error)` is the detail."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "internal_error"
    title: ClassVar[str] = "Internal error"

    def problem(self) -> dict[str, object]:
        """Return the members of an `application/problem+json` document."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "code": self.code,
            "detail": str(self),
        }


class EmptyBodyError(ProblemError):
    """The request carried no image."""

    status = 400
    code = "empty_body"
    title = "Empty body"


class BrokenImageError(ProblemError):
    """The bytes are no image, or not all of the image that their header announces."""

    status = 400
    code = "broken_image"
    title = "Broken image"


class UnsupportedMediaTypeError(ProblemError):
    """The bytes are an image of a format that is not read here."""

    status = 415
    code = "unsupported_media_type"
    title = "Unsupported media type"


class TooManyPixelsError(ProblemError):
    """The image is valid, and larger than the limit."""

    status = 413
    code = "too_many_pixels"
    title = "Too many pixels"


class SideTooLongError(ProblemError):
    """The image is valid, and one of its sides is longer than output formats allow."""

    status = 413
    code = "side_too_long"
    title = "Side too long"


class ImageTooCostlyError(ProblemError):
    """The image is valid, and takes more computing time than one image may."""

    status = 413
    code = "too_costly"
    title = "Image too costly"


class WorkerOutOfMemoryError(ProblemError):
    """The image fits the limits, and the device's memory did not suffice for it."""

    status = 413
    code = "out_of_memory"
    title = "Out of memory"


class ImageCrashesWorkerError(ProblemError):
    """Processes ended on this image, the last one with nothing else in work."""

    status = 422
    code = "image_crashes_worker"
    title = "Image crashes the worker"


class ImageTakesTooLongError(ProblemError):
    """This image by itself takes longer than a batch may."""

    status = 422
    code = "image_takes_too_long"
    title = "Image takes too long"


class WorkerFailedError(ProblemError):
    """The worker failed for a cause of its own, not of the photo's."""

    status = 500
    code = "worker_failed"
    title = "Worker failed"


def read_problem(body: bytes) -> ProblemError:
    """Make the error of a problem document that the worker wrote; an unknown code becomes
    WorkerFailedError.
    """
    document = json.loads(body)
    kinds = {kind.code: kind for kind in ProblemError.__subclasses__()}
    kind = kinds.get(document["code"], WorkerFailedError)
    return kind(document["detail"])
