"""Answers of the server: is it one, is it whole, which problem does it state, how long did it take.

In: status, headers and body. Out: an error, or values of the headers. Called by
`fcnserve_client.http.core`.
"""

import base64
import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus

from fcnserve_client.errors import (
    DigestMismatchError,
    FcnserveError,
    GatewayAnswerError,
    RedirectedError,
    UnexpectedAnswerError,
)
from fcnserve_client.problems import TRANSIENT_STATUSES, kind_of

ALGORITHMS = {"sha-256": hashlib.sha256, "sha-512": hashlib.sha512}  # of RFC 9530, section 5
REDIRECTS = range(300, 400)

_DIGEST = re.compile(r"([\w-]+)=:([A-Za-z0-9+/=]*):")
_DURATION = re.compile(r"([\w-]+)\s*;(?:[^,]*;)?\s*dur=(\d+(?:\.\d+)?)(?![\w.])", re.ASCII)


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: the names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def media_type(self) -> str:
        return self.headers.get("content-type", "").partition(";")[0].strip().lower()

    @property
    def tag(self) -> str:
        """The model, name@digest; empty where the answer is of none."""
        return self.headers.get("x-model", "")

    @property
    def timing(self) -> dict[str, float]:
        """Milliseconds by stage."""
        found = _DURATION.findall(self.headers.get("server-timing", ""))
        return {name: float(milliseconds) for name, milliseconds in found}

    def request_id(self, sent: str) -> str:
        """Return the request's ID, given the one that was sent."""
        return self.headers.get("x-request-id", sent)


def error_in(answer: Answer, expected: str, url: str, request_id: str) -> FcnserveError | None:
    """Return why an answer is no result of the expected media type; None where it is one."""
    given = answer.request_id(request_id)
    if answer.status in REDIRECTS:
        location = answer.headers.get("location", "")
        detail = f"{url} redirects to {location}; use that URL if you trust it"
        return RedirectedError(detail, status=answer.status, request_id=given)
    if not is_intact(answer):
        detail = f"the answer of {url} does not have the digest of its Content-Digest"
        return DigestMismatchError(detail, status=answer.status, request_id=given)
    if answer.status != HTTPStatus.OK:
        return _problem(answer, url, given)
    if answer.media_type != expected:
        detail = f"{url} answers with {answer.media_type!r} where fcnserve answers with {expected}"
        return UnexpectedAnswerError(detail, status=answer.status, request_id=given)
    return None


def is_intact(answer: Answer) -> bool:
    """Compare the body with each digest of `Content-Digest` (RFC 9530) of a known algorithm."""
    found = _DIGEST.findall(answer.headers.get("content-digest", ""))
    return all(
        base64.b64encode(ALGORITHMS[name](answer.body).digest()).decode() == value
        for name, value in found
        if name in ALGORITHMS
    )


def retry_after_s(value: str | None) -> float | None:
    """Read `Retry-After`, seconds or a date (RFC 9110, 10.2.3); None where there is none."""
    if value is None:
        return None
    if value.strip().isdecimal():
        return float(value)
    try:
        return max(0.0, (parsedate_to_datetime(value) - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):
        return None


def _problem(answer: Answer, url: str, request_id: str) -> FcnserveError:
    wait_s = retry_after_s(answer.headers.get("retry-after"))
    try:
        document = json.loads(answer.body)
        code, detail = str(document["code"]), str(document["detail"])
    except (ValueError, LookupError, TypeError, RecursionError):
        is_transient = answer.status in TRANSIENT_STATUSES
        kind = GatewayAnswerError if is_transient else UnexpectedAnswerError
        text = f"{url} answers {answer.status} without a reason, as fcnserve does not"
        return kind(text, status=answer.status, request_id=request_id, retry_after=wait_s)
    return kind_of(code, answer.status)(
        detail, code=code, status=answer.status, request_id=request_id, retry_after=wait_s
    )
