"""How a mask comes from Triton over HTTP: the binary tensor data extension of its protocol.

An answer is JSON, its length told by an HTTP header, and behind it one element of bytes, four bytes
of length first. A photo goes the other way as a raw body: the same header says that JSON has no
bytes.
"""

import struct
from collections.abc import Mapping

JSON_BYTES = "Inference-Header-Content-Length"
RAW_REQUEST = {JSON_BYTES: "0"}


def read_element(headers: Mapping[str, str], body: bytes) -> bytes | None:
    """Take the element out of an answer."""
    json_bytes = int(headers[JSON_BYTES])
    (size,) = struct.unpack_from("<I", body, json_bytes)
    start = json_bytes + struct.calcsize("<I")
    return body[start : start + size]
