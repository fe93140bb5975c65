"""The problems of requests, as RFC 9457 describes them. Raised all over the gateway, written by
`service.problem_response`.

ProblemError (handlers.shared.errors: also the problems of images, found by gateway or worker)
+-- BadHttpError                    400  bad_http
+-- BadMultipartError               400  bad_multipart
+-- BadJsonError                    400  bad_json
+-- BadBase64Error                  400  bad_base64
+-- BadContentCodingError           400  bad_content_encoding
+-- UnauthorizedError               401  unauthorized
+-- NotFoundError                   404  not_found
+-- ModelNotFoundError              404  model_not_found
+-- MethodNotAllowedError           405  method_not_allowed
+-- NotAcceptableError              406  not_acceptable
+-- ReadTimeoutError                408  read_timeout
+-- BodyTooLargeError               413  body_too_large
+-- TooManyImagesError              413  too_many_images
+-- UnsupportedContentTypeError     415  unsupported_content_type
+-- UnsupportedContentCodingError   415  unsupported_content_encoding
+-- InvalidOptionError              422  invalid_option
+-- BusyError                       429  busy
+-- RateLimitedError                429  rate_limited
+-- HeadersTooLargeError            431  headers_too_large
+-- InternalError                   500  internal_error
+-- UnsupportedTransferCodingError  501  unsupported_transfer_coding
+-- WorkerCrashedError              502  worker_crashed
|   +-- WorkerSilentError           502  worker_crashed
|   +-- ConnectionBrokenError       502  worker_crashed
+-- NotReadyError                   503  not_ready
|   +-- ModelMissingError           503  not_ready
+-- DrainingError                   503  draining
+-- TooManyConnectionsError         503  too_many_connections
+-- DeadlineError                   504  deadline_exceeded
"""

from typing import ClassVar

from handlers.shared.errors import ProblemError


class BadHttpError(ProblemError):
    """The bytes of the connection are not HTTP."""

    status = 400
    code = "bad_http"
    title = "Bad HTTP request"


class BadMultipartError(ProblemError):
    """The body is not `multipart/form-data` with files in the expected fields."""

    status = 400
    code = "bad_multipart"
    title = "Bad multipart body"


class BadJsonError(ProblemError):
    """The body is not a JSON object of the documented form."""

    status = 400
    code = "bad_json"
    title = "Bad JSON body"


class BadBase64Error(ProblemError):
    """The JSON's `image` is not base64."""

    status = 400
    code = "bad_base64"
    title = "Bad base64"


class BadContentCodingError(ProblemError):
    """The body is not encoded as its `Content-Encoding` declares."""

    status = 400
    code = "bad_content_encoding"
    title = "Bad content encoding"


class UnauthorizedError(ProblemError):
    """The request has no valid API key."""

    status = 401
    code = "unauthorized"
    title = "Unauthorized"


class NotFoundError(ProblemError):
    """No route has this path."""

    status = 404
    code = "not_found"
    title = "Not found"


class ModelNotFoundError(ProblemError):
    """No served model has this name."""

    status = 404
    code = "model_not_found"
    title = "Model not found"


class MethodNotAllowedError(ProblemError):
    """The route takes other methods."""

    status = 405
    code = "method_not_allowed"
    title = "Method not allowed"

    def __init__(self, detail: str, allowed: str) -> None:
        super().__init__(detail)
        self.allowed = allowed


class NotAcceptableError(ProblemError):
    """The `Accept` header allows none of the available media types."""

    status = 406
    code = "not_acceptable"
    title = "Not acceptable"


class ReadTimeoutError(ProblemError):
    """Head or body of the request did not arrive within the deadline."""

    status = 408
    code = "read_timeout"
    title = "Request arrived too slowly"


class BodyTooLargeError(ProblemError):
    """The body has more bytes than the limit."""

    status = 413
    code = "body_too_large"
    title = "Body too large"


class TooManyImagesError(ProblemError):
    """A batch has more images than the limit."""

    status = 413
    code = "too_many_images"
    title = "Too many images"


class UnsupportedContentTypeError(ProblemError):
    """The `Content-Type` is none from which an image can be read."""

    status = 415
    code = "unsupported_content_type"
    title = "Unsupported content type"


class UnsupportedContentCodingError(ProblemError):
    """The `Content-Encoding` is none that can be decompressed."""

    status = 415
    code = "unsupported_content_encoding"
    title = "Unsupported content encoding"

    accepted: ClassVar[str] = "gzip, deflate"


class InvalidOptionError(ProblemError):
    """A query option is unknown, or its value is out of range."""

    status = 422
    code = "invalid_option"
    title = "Invalid option"


class BusyError(ProblemError):
    """As many requests, bytes or predicted seconds as the limit allows are in flight."""

    status = 429
    code = "busy"
    title = "Too many requests in flight"

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class RateLimitedError(ProblemError):
    """The API key sends more images than its rate allows."""

    status = 429
    code = "rate_limited"
    title = "Rate limited"

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class HeadersTooLargeError(ProblemError):
    """Request line and headers have more bytes than the limit."""

    status = 431
    code = "headers_too_large"
    title = "Headers too large"


class InternalError(ProblemError):
    """A defect of the gateway; its log has the traceback."""

    status = 500
    code = "internal_error"
    title = "Internal error"


class UnsupportedTransferCodingError(ProblemError):
    """The `Transfer-Encoding` is not `chunked`."""

    status = 501
    code = "unsupported_transfer_coding"
    title = "Unsupported transfer coding"


class WorkerCrashedError(ProblemError):
    """The worker, or the connection to it, broke while it had this image."""

    status = 502
    code = "worker_crashed"
    title = "Worker crashed"

    replica = ""  # that had the image


class WorkerSilentError(WorkerCrashedError):
    """The worker has not answered within the time of an attempt."""


class ConnectionBrokenError(WorkerCrashedError):
    """TorchServe or the network failed while the worker had this image: hardly because of it."""


class NotReadyError(ProblemError):
    """No worker takes requests: the service or its worker is starting."""

    status = 503
    code = "not_ready"
    title = "Not ready"

    retry_after_s: ClassVar[int] = 1
    replica = ""  # that was asked


class ModelMissingError(NotReadyError):
    """TorchServe runs without this model."""


class DrainingError(ProblemError):
    """This gateway is about to stop; another one, or its next process, will answer."""

    status = 503
    code = "draining"
    title = "Draining"

    retry_after_s: ClassVar[int] = 1


class TooManyConnectionsError(ProblemError):
    """As many connections as the limit allows are open."""

    status = 503
    code = "too_many_connections"
    title = "Too many connections"

    retry_after_s: ClassVar[int] = 1


class DeadlineError(ProblemError):
    """The request's deadline passed before its mask was ready."""

    status = 504
    code = "deadline_exceeded"
    title = "Deadline exceeded"
