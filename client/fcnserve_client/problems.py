"""The problems that the server answers with, one class a code, so that programs can except them.

In: an answer's `code` and status. Out: the class. A code of a later server, which is not here, is a
`ProblemError`, or a `TransientProblemError` by its status. `docs/api.md` of fcnserve has the table.
Called by `fcnserve_client.http.answer`.
"""

from http import HTTPStatus

from fcnserve_client.errors import FcnserveError

TRANSIENT_STATUSES = frozenset(
    {
        HTTPStatus.TOO_MANY_REQUESTS,
        HTTPStatus.BAD_GATEWAY,
        HTTPStatus.SERVICE_UNAVAILABLE,
        HTTPStatus.GATEWAY_TIMEOUT,
    }
)
"""Statuses after which a request is sent again."""


class ProblemError(FcnserveError):
    """The server's answer is a problem (RFC 9457), about the photo, the options or the key."""


class TransientProblemError(ProblemError):
    """A problem of the moment, about no photo."""

    is_transient = True


def kind_of(code: str, status: int) -> type[ProblemError]:
    """Return the class of a code; for one that is not known here, that of the status."""
    general = TransientProblemError if status in TRANSIENT_STATUSES else ProblemError
    return _KINDS.get(code, general)


class BadBase64Error(ProblemError):
    """The JSON's `image` is not base64."""

    status: int | None = 400
    code = "bad_base64"


class BadContentCodingError(ProblemError):
    """The body is not encoded as its `Content-Encoding` declares."""

    status: int | None = 400
    code = "bad_content_encoding"


class BadHttpError(ProblemError):
    """The bytes of the connection are not HTTP."""

    status: int | None = 400
    code = "bad_http"


class BadJsonError(ProblemError):
    """The body is not a JSON object of the documented form."""

    status: int | None = 400
    code = "bad_json"


class BadMultipartError(ProblemError):
    """The body is not `multipart/form-data` with files in the expected fields."""

    status: int | None = 400
    code = "bad_multipart"


class BrokenImageError(ProblemError):
    """The bytes are no image, or not all of the image that their header announces."""

    status: int | None = 400
    code = "broken_image"


class EmptyBodyError(ProblemError):
    """The request carried no image."""

    status: int | None = 400
    code = "empty_body"


class UnauthorizedError(ProblemError):
    """The request has no valid API key."""

    status: int | None = 401
    code = "unauthorized"


class ModelNotFoundError(ProblemError):
    """No served model has this name."""

    status: int | None = 404
    code = "model_not_found"


class NotFoundError(ProblemError):
    """No route has this path."""

    status: int | None = 404
    code = "not_found"


class MethodNotAllowedError(ProblemError):
    """The route takes other methods."""

    status: int | None = 405
    code = "method_not_allowed"


class NotAcceptableError(ProblemError):
    """The `Accept` header allows none of the available media types."""

    status: int | None = 406
    code = "not_acceptable"


class ReadTimeoutError(ProblemError):
    """Head or body of the request did not arrive within the deadline."""

    status: int | None = 408
    code = "read_timeout"


class BodyTooLargeError(ProblemError):
    """The body has more bytes than the limit."""

    status: int | None = 413
    code = "body_too_large"


class WorkerOutOfMemoryError(ProblemError):
    """The image fits the limits, and the device's memory did not suffice for it."""

    status: int | None = 413
    code = "out_of_memory"


class SideTooLongError(ProblemError):
    """The image is valid, and one of its sides is longer than output formats allow."""

    status: int | None = 413
    code = "side_too_long"


class ImageTooCostlyError(ProblemError):
    """The image is valid, and takes more computing time than one image may."""

    status: int | None = 413
    code = "too_costly"


class TooManyImagesError(ProblemError):
    """A batch has more images than the limit."""

    status: int | None = 413
    code = "too_many_images"


class TooManyPixelsError(ProblemError):
    """The image is valid, and larger than the limit."""

    status: int | None = 413
    code = "too_many_pixels"


class UnsupportedContentCodingError(ProblemError):
    """The `Content-Encoding` is none that can be decompressed."""

    status: int | None = 415
    code = "unsupported_content_encoding"


class UnsupportedContentTypeError(ProblemError):
    """The `Content-Type` is none from which an image can be read."""

    status: int | None = 415
    code = "unsupported_content_type"


class UnsupportedMediaTypeError(ProblemError):
    """The bytes are an image of a format that is not read here."""

    status: int | None = 415
    code = "unsupported_media_type"


class ImageCrashesWorkerError(ProblemError):
    """Processes ended on this image, the last one with nothing else in work."""

    status: int | None = 422
    code = "image_crashes_worker"


class ImageTakesTooLongError(ProblemError):
    """This image by itself takes longer than a batch may."""

    status: int | None = 422
    code = "image_takes_too_long"


class InvalidOptionError(ProblemError):
    """A query option is unknown, or its value is out of range."""

    status: int | None = 422
    code = "invalid_option"


class BusyError(TransientProblemError):
    """As many requests, bytes or predicted seconds as the limit allows are in flight."""

    status: int | None = 429
    code = "busy"


class RateLimitedError(TransientProblemError):
    """The API key sends more images than its rate allows."""

    status: int | None = 429
    code = "rate_limited"


class HeadersTooLargeError(ProblemError):
    """Request line and headers have more bytes than the limit."""

    status: int | None = 431
    code = "headers_too_large"


class InternalError(ProblemError):
    """A defect of the gateway; its log has the traceback."""

    status: int | None = 500
    code = "internal_error"


class WorkerFailedError(ProblemError):
    """The worker failed for a cause of its own, not of the photo's."""

    status: int | None = 500
    code = "worker_failed"


class UnsupportedTransferCodingError(ProblemError):
    """The `Transfer-Encoding` is not `chunked`."""

    status: int | None = 501
    code = "unsupported_transfer_coding"


class WorkerCrashedError(TransientProblemError):
    """The worker, or the connection to it, broke while it had this image."""

    status: int | None = 502
    code = "worker_crashed"


class DrainingError(TransientProblemError):
    """This gateway is about to stop; another one, or its next process, will answer."""

    status: int | None = 503
    code = "draining"


class NotReadyError(TransientProblemError):
    """No worker takes requests: the service or its worker is starting."""

    status: int | None = 503
    code = "not_ready"


class TooManyConnectionsError(TransientProblemError):
    """As many connections as the limit allows are open."""

    status: int | None = 503
    code = "too_many_connections"


class DeadlineError(TransientProblemError):
    """The request's deadline passed before its mask was ready."""

    status: int | None = 504
    code = "deadline_exceeded"


_KINDS: dict[str, type[ProblemError]] = {
    kind.code: kind
    for kind in (*ProblemError.__subclasses__(), *TransientProblemError.__subclasses__())
}
