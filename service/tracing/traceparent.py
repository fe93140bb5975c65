"""The header `traceparent` (W3C Trace Context, level 1, section 3.2): a request's headers in, the
trace that its client has begun out. Called by `service.api.exchange`.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

# version ff and identifiers of zeros are invalid; a version after 00 may have more at its end
TRACEPARENT = re.compile(
    rb"(?!ff)([0-9a-f]{2})-(?!0{32})([0-9a-f]{32})-(?!0{16})([0-9a-f]{16})-([0-9a-f]{2})(-.*)?"
)


class Trace(NamedTuple):
    """The trace of a request, and its caller's span in it."""

    trace_id: str  # 32 hexadecimal digits
    parent_id: str  # 16
    flags: int  # 1: the caller records it


def read_traceparent(headers: Iterable[tuple[bytes, bytes]]) -> Trace | None:
    """Return the trace that a request's headers name; None where they name none, or two."""
    sent = [value for name, value in headers if name == b"traceparent"]
    found = TRACEPARENT.fullmatch(sent[0]) if len(sent) == 1 else None
    if found is None:
        return None
    version, trace_id, parent_id, flags, rest = found.groups()
    if version == b"00" and rest is not None:
        return None
    return Trace(trace_id.decode(), parent_id.decode(), int(flags, 16))
