"""A form's boundary, and its body in the form that python-multipart's parser accepts. Called by
`service.body.multipart`.

Clients differ in what surrounds a form: text before it, LF for CRLF, spaces after a boundary, a
`Content-Type` that was set by hand and does not name the boundary. What has one meaning is
normalised here, because the parser refuses it.
"""

import re

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from service.errors import BadMultipartError

ADVICE = (
    'let your HTTP client write Content-Type and body of a form together, with a file in "image" '
    "(curl: -F image=@photo.jpg)"
)
# a boundary's characters (RFC 2046, section 5.1.1), where only the body names it
FIRST_LINE = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})[ \t]*\r?\n")
# of text before the first boundary
MAX_PREAMBLE_BYTES = 16_384
# of a form whose lines end in LF
MAX_PARTS = 100


def boundary_of(headers: Headers, body: bytes) -> bytes:
    """Read the boundary from `Content-Type` or, where that has none, from the body's first line;
    raises BadMultipartError.
    """
    content_type = headers.get("content-type", "")
    named = re.findall(r";\s*boundary\s*=", content_type, re.IGNORECASE)
    if len(named) > 1:
        raise BadMultipartError("Content-Type names several boundaries; name one")
    if boundary := parse_options_header(content_type)[1].get(b"boundary"):
        return boundary
    if first := FIRST_LINE.match(body):
        return first[1]
    raise BadMultipartError(
        f"Content-Type names no boundary, and the body does not begin with one; {ADVICE}"
    )


def normalised(body: bytes, boundary: bytes) -> bytes:
    """Remove what precedes the first boundary, and spaces after it (the parser ignores those after
    others), and end lines in CRLF; raises BadMultipartError where the boundary is missing.
    """
    line = re.compile(rb"(?:\A|\n)--" + re.escape(boundary) + rb"([ \t]*)(\r?\n|--)")
    match = line.search(body, 0, MAX_PREAMBLE_BYTES + len(boundary))
    if not match:
        if body:
            raise BadMultipartError(
                f"the boundary that Content-Type names, {boundary[:80]!a}, is not in the body; "
                f"{ADVICE}"
            )
        return body
    start = body.index(b"--", match.start())
    form = body[start:] if start else body
    if match[1]:
        form = b"--" + boundary + body[match.start(2) :]
    return with_crlf(form, boundary) if match[2] == b"\n" else form


def with_crlf(form: bytes, boundary: bytes) -> bytes:
    """Rewrite boundaries and headers that end in LF; the content of parts stays as it is."""
    _, *parts = (b"\n" + form).split(b"\n--" + boundary, MAX_PARTS)
    rewritten = [b""]
    for part in parts:
        head, blank, content = part.partition(b"\n\n")
        rewritten.append(head.replace(b"\n", b"\r\n") + b"\r\n\r\n" * bool(blank) + content)
    return (b"\r\n--" + boundary).join(rewritten).removeprefix(b"\r\n")
