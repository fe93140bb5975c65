"""Errors as a user reads them: what happened, what to do; and whether all photos meet them."""

import errno

import pytest

from fcnserve_client.errors import (
    CertificateError,
    ConnectionFailedError,
    FcnserveError,
    RedirectedError,
    RequestTimeoutError,
    UnexpectedAnswerError,
)
from fcnserve_client.problems import BrokenImageError, BusyError, UnauthorizedError
from service.client.errors import describe, is_about_all

WHERE = "no fcnserve answers at http://127.0.0.1:8000 (Connection refused)"


@pytest.mark.parametrize(
    ("error", "about_all", "line"),
    [
        (BrokenImageError("cut short"), False, "cut short [broken_image]"),
        (BusyError("busy"), False, "busy [busy]"),
        (RequestTimeoutError("late"), False, "late [timeout]"),
        (UnexpectedAnswerError("413", status=413), False, "413 [unexpected_answer]"),
        (OSError(errno.ENOSPC, "No space left", "m.png"), True, "No space left"),
        (OSError(errno.EACCES, "Permission denied", "m.png"), False, "Permission denied"),
        (OSError("read"), False, "read"),
        (
            UnauthorizedError("no key"),
            True,
            "no key; give a key with --key or FCNSERVE_KEY [unauthorized]",
        ),
        (
            UnexpectedAnswerError("a page", status=200),
            True,
            "a page; name another server with --url [unexpected_answer]",
        ),
        (CertificateError("not trusted"), True, "not trusted [certificate_refused]"),
        (RedirectedError("elsewhere"), True, "elsewhere [redirected]"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_an_error_is_a_line_that_says_what_to_do(
    error: Exception, about_all: bool, line: str
) -> None:
    assert describe(error) == line
    assert is_about_all(error) == about_all


def test_an_absent_server_is_reported_with_how_to_start_one() -> None:
    error = ConnectionFailedError(WHERE)
    assert is_about_all(error)
    assert describe(error).startswith(f"{WHERE}; is the server running? start it with: make serve")


@pytest.mark.parametrize("code", ["unauthorized", "model_not_found", "invalid_option", "not_found"])
def test_problems_of_key_model_and_options_are_those_of_every_photo(code: str) -> None:
    assert is_about_all(FcnserveError("no", code=code))
