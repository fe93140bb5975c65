"""Problems as HTTP responses (RFC 9457): a ProblemError in; JSON, status and headers out.

Called by `service.api` for a request, by `service.pipeline.batch_response` for an image of a batch.
"""

from collections.abc import Mapping

from fastapi import Response
from fastapi.responses import JSONResponse

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, ProblemError
from service.errors import (
    BusyError,
    DrainingError,
    MethodNotAllowedError,
    NotReadyError,
    RateLimitedError,
    ReadTimeoutError,
    TooManyConnectionsError,
    UnauthorizedError,
    UnsupportedContentCodingError,
)


def problem_response(problem: ProblemError) -> Response:
    """Write a problem, with the headers that its status requires."""
    return JSONResponse(
        problem.problem(),
        problem.status,
        headers=problem_headers(problem),
        media_type=PROBLEM_MEDIA_TYPE,
    )


def problem_headers(problem: ProblemError) -> Mapping[str, str]:
    """Return the headers that a status requires: when to retry, how to authenticate, what is
    allowed, or that the rest of the body is not read.
    """
    match problem:
        case UnauthorizedError():
            return {"WWW-Authenticate": "Bearer"}
        case (
            BusyError()
            | RateLimitedError()
            | NotReadyError()
            | DrainingError()
            | TooManyConnectionsError()
        ):
            return {"Retry-After": str(problem.retry_after_s)}
        case UnsupportedContentCodingError():
            return {"Accept-Encoding": problem.accepted}
        case MethodNotAllowedError():
            return {"Allow": problem.allowed}
        case ReadTimeoutError():
            return {"Connection": "close"}
        case _:
            return {}
