"""Several answers in one body: `multipart/mixed` (RFC 2046, section 5.1). Called by
`service.pipeline`.
"""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class MixedPart:
    """One answer, as it would be sent by itself: `headers` are ASCII, one line each."""

    headers: Mapping[str, str]
    body: bytes


def write_mixed(parts: Sequence[MixedPart]) -> tuple[bytes, str]:
    """Return the body and its media type. The boundary is random, so that no part contains it."""
    boundary = secrets.token_hex(16)
    pieces = []
    for part in parts:
        lines = [f"--{boundary}", *(f"{name}: {value}" for name, value in part.headers.items())]
        pieces += ["\r\n".join(lines).encode("ascii"), b"\r\n\r\n", part.body, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"multipart/mixed; boundary={boundary}"


def part_headers(index: int, filename: str) -> dict[str, str]:
    """Name the image of a part: its index, from 0, and the file name that the client gave it.

    The name is percent-encoded (RFC 8187), so that it cannot end the header.
    """
    escaped = quote(filename, safe="", errors="replace")
    disposition = f"inline; filename*=UTF-8''{escaped}" if filename else "inline"
    return {"Content-ID": f"<{index}@images>", "Content-Disposition": disposition}
