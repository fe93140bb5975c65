"""What can go wrong with a photo, as exceptions; `fcnserve_client.problems` adds the server's own.

    FcnserveError
    +-- ProblemError             the server's answer is a problem; a subclass for each of its codes
    +-- ConnectionFailedError    no answer: nothing listens, or the connection broke
    +-- RequestTimeoutError      no answer within the total time
    +-- DigestMismatchError      the answer's bytes are not those that the server sent
    +-- RedirectedError          the server is elsewhere; photos and keys are not sent there
    +-- UnexpectedAnswerError    the answer is none of fcnserve's, but a proxy's or another server's

Raised by `fcnserve_client.http`. Errors can be pickled.
"""

from typing import ClassVar


class FcnserveError(Exception):
    """A request that failed, after all retries.

    `code` names the cause for programs, `detail` explains it; `status` is that of the answer, None
    without one. `request_id` finds the request in the server's logs. `retry_after` are the seconds
    after which the server expects it again, where it said so.
    """

    code: str = "error"
    status: int | None = None
    is_transient: ClassVar[bool] = False
    """Whether the same request may succeed if it is sent again."""

    def __init__(
        self,
        detail: str,
        *,
        code: str | None = None,
        status: int | None = None,
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.request_id = request_id
        self.retry_after = retry_after
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status

    def __str__(self) -> str:
        """Return the detail, and what finds the request."""
        request = f", request {self.request_id}" if self.request_id else ""
        return f"{self.detail} [{self.code}{request}]"


class ConnectionFailedError(FcnserveError):
    """There was no answer: nothing listens at the URL, or the connection broke."""

    code = "connection_failed"
    is_transient = True


class CertificateError(ConnectionFailedError):
    """The server's certificate is not trusted; sending again does not change that."""

    code = "certificate_refused"
    is_transient = False


class RequestTimeoutError(FcnserveError, TimeoutError):
    """The total time was over before an answer was complete; `__cause__` is the last failure."""

    code = "timeout"


class DigestMismatchError(FcnserveError):
    """The answer's bytes do not have the digest of its `Content-Digest`: they changed."""

    code = "digest_mismatch"
    is_transient = True


class ModelChangedError(FcnserveError):
    """The model was replaced between a photo's answer and the reading of its model's card."""

    code = "model_changed"
    is_transient = True


class RedirectedError(FcnserveError):
    """The server names another URL. It is not followed: that could be anywhere, over plain HTTP."""

    code = "redirected"


class UnexpectedAnswerError(FcnserveError):
    """The answer is none that fcnserve gives."""

    code = "unexpected_answer"


class GatewayAnswerError(UnexpectedAnswerError):
    """A proxy's own 429, 502, 503 or 504."""

    code = "unexpected_answer"
    is_transient = True
