"""Base64 as clients write it in JSON: with or without line breaks, padding and a `data:` prefix, in
the standard or the URL alphabet. Called by `service.body.json_image`.

The standard library's `b64decode` decodes; by itself it refuses these variants, or silently drops
other characters, which damages a photo. What is ambiguous is an error.
"""

import base64
import re

DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
WHITESPACE = b" \t\r\n\f"
URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
GROUP = 4  # characters that encode three bytes
MAX_PADDING = 2


def from_base64(text: str) -> bytes:
    """Decode; raises ValueError for what is not base64."""
    prefix = DATA_URL.match(text)
    data = (text[prefix.end() :] if prefix else text).encode("ascii").translate(None, WHITESPACE)
    if b"-" in data or b"_" in data:
        if b"+" in data or b"/" in data:
            raise ValueError("characters of two alphabets")
        data = data.translate(URL_ALPHABET)
    bare = data.rstrip(b"=")
    padding = len(data) - len(bare)
    missing = -len(bare) % GROUP
    if missing > MAX_PADDING or padding not in {0, missing}:
        raise ValueError("a wrong number of characters, or of =")
    return base64.b64decode(bare + b"=" * missing, validate=True)
