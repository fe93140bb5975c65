"""A form's boundary, and its body from the first boundary on. Called by `service.body.multipart`.

Senders differ in what surrounds a form: text before it, LF for CRLF, blanks behind a boundary, a
`Content-Type` that was set by hand and does not name the boundary. What has one reading is brought
into the usual form.
"""

import re

from python_multipart.multipart import parse_options_header
from starlette.datastructures import Headers

from service.errors import BadMultipartError

ADVICE = (
    'let your HTTP client write Content-Type and body of a form together, with a file in "image" '
    "(curl: -F image=@photo.jpg)"
)
# what a boundary may consist of (RFC 2046, section 5.1.1), where the body alone names it
FIRST_LINE = re.compile(rb"--([0-9A-Za-z'()+_,./:=?-]{1,70})[ \t]*\r?\n")
# a text before the first boundary that is longer is no preamble
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


def with_usual_start(body: bytes, boundary: bytes) -> bytes:
    """Leave out what is before the first boundary, and blanks behind it (those behind others are
    the parser's to pass over), and have lines end in CRLF; raises BadMultipartError where the
    boundary is not there.
    """
    line = re.compile(rb"(?:\A|\n)--" + re.escape(boundary) + rb"([ \t]*)(\r?\n|--)")
    found = line.search(body, 0, MAX_PREAMBLE_BYTES + len(boundary))
    if not found:
        if body:
            raise BadMultipartError(
                f"the boundary that Content-Type names, {boundary[:80]!a}, is not in the body; "
                f"{ADVICE}"
            )
        return body
    start = body.index(b"--", found.start())
    form = body[start:] if start else body
    if found[1]:
        form = b"--" + boundary + body[found.start(2) :]
    return with_crlf(form, boundary) if found[2] == b"\n" else form


def with_crlf(form: bytes, boundary: bytes) -> bytes:
    """Rewrite boundaries and headers that end in LF; files stay as they are."""
    _, *parts = (b"\n" + form).split(b"\n--" + boundary, MAX_PARTS)
    rewritten = [b""]
    for part in parts:
        head, blank, content = part.partition(b"\n\n")
        rewritten.append(head.replace(b"\n", b"\r\n") + b"\r\n\r\n" * bool(blank) + content)
    return (b"\r\n--" + boundary).join(rewritten).removeprefix(b"\r\n")
