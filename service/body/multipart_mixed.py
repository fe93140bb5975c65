"""Several answers in one body: `multipart/mixed` (RFC 2046, section 5.1)."""

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import quote


@dataclass(frozen=True, slots=True)
class MixedPart:
    """One answer, as it would have been sent alone: `headers` are ASCII, one line each."""

    headers: Mapping[str, str]
    body: bytes


def write_mixed(parts: Sequence[MixedPart]) -> tuple[bytes, str]:
    """Return the body and its media type. The boundary is random: none of the parts can hold it."""
    boundary = secrets.token_hex(16)
    pieces = []
    for part in parts:
        lines = [f"--{boundary}", *(f"{name}: {value}" for name, value in part.headers.items())]
        pieces += ["\r\n".join(lines).encode("ascii"), b"\r\n\r\n", part.body, b"\r\n"]
    pieces.append(f"--{boundary}--\r\n".encode())
    return b"".join(pieces), f"multipart/mixed; boundary={boundary}"


def part_headers(index: int, filename: str) -> dict[str, str]:
    """Say which image a part belongs to: its index, from 0, and the name that its sender gave it.

    The name is percent-encoded (RFC 8187): nothing of it can end the header.
    """
    escaped = quote(filename, safe="", errors="replace")
    disposition = f"inline; filename*=UTF-8''{escaped}" if filename else "inline"
    return {"Content-ID": f"<{index}@images>", "Content-Disposition": disposition}
