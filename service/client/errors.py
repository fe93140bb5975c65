"""The errors of `fcnserve_client` and of files in; what they mean for a run, and a line, out.

Called by `service.client.segment`, `service.cli.segment_run` and `service.cli.evaluate`.
"""

import errno
from http import HTTPStatus

from fcnserve_client.errors import (
    CertificateError,
    ConnectionFailedError,
    FcnserveError,
    RedirectedError,
    UnexpectedAnswerError,
)
from fcnserve_client.problems import UnauthorizedError

FAILURES = (FcnserveError, OSError)
"""What may prevent a photo's answer."""

_ABOUT_ALL = frozenset({"unauthorized", "model_not_found", "invalid_option", "not_found"})
"""Codes that do not depend on the photo: the next one would get the same."""

_NO_SPACE = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EROFS})
"""Errors of the disk: the next answer would be computed in vain."""

_NO_PROXYS = frozenset({HTTPStatus.OK, HTTPStatus.NOT_FOUND})
"""Statuses of an unexpected answer by a server that is no fcnserve; a proxy before one may refuse a
single photo, as with 413."""


def is_about_all(error: Exception | None) -> bool:
    """Return whether every other photo would meet this error."""
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        return True
    if isinstance(error, UnexpectedAnswerError):
        return error.status in _NO_PROXYS
    if isinstance(error, ConnectionFailedError | RedirectedError):
        return True
    return isinstance(error, FcnserveError) and error.code in _ABOUT_ALL


def describe(error: Exception) -> str:
    """Describe an error in a line, with what to do; without the photo's name."""
    if isinstance(error, FcnserveError):
        return f"{error.detail}{_advice(error)} [{error.code}]"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return str(error)


def _advice(error: FcnserveError) -> str:
    if isinstance(error, UnauthorizedError):
        return "; give a key with --key or FCNSERVE_KEY"
    if isinstance(error, CertificateError):
        return ""
    if isinstance(error, ConnectionFailedError):
        return (
            "; is the server running? start it with: make serve, or name another with --url or "
            "FCNSERVE_URL; a server without TLS is http://"
        )
    is_strange = isinstance(error, UnexpectedAnswerError) and is_about_all(error)
    return "; name another server with --url" if is_strange else ""
