"""Reads a mask from Triton's HTTP answer: the binary tensor data extension of its protocol.

An answer is JSON, whose length an HTTP header gives, followed by one element: four bytes of length,
then its bytes. A photo is sent as a raw body: the same header with a JSON length of 0. Called by
`loadtest.peers.catalogue`.
"""

import struct
from collections.abc import Mapping

JSON_BYTES = "Inference-Header-Content-Length"
RAW_REQUEST = {JSON_BYTES: "0"}


def read_element(headers: Mapping[str, str], body: bytes) -> bytes | None:
    """Return the element of an answer."""
    json_bytes = int(headers[JSON_BYTES.lower()])
    (size,) = struct.unpack_from("<I", body, json_bytes)
    start = json_bytes + struct.calcsize("<I")
    return body[start : start + size]
