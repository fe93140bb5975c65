"""Base64 as it is met in JSON: with or without line breaks, padding and a `data:` prefix, in the
usual or the URL's alphabet. Called by `service.body.json_image`.

What has but one reading is read; anything else is refused, since a letter that is passed over is a
damaged photo.
"""

import base64
import re

DATA_URL = re.compile(r"data:[^,]{0,200};base64,", re.IGNORECASE)
WHITESPACE = b" \t\r\n\f"
URL_ALPHABET = bytes.maketrans(b"-_", b"+/")
GROUP = 4  # letters that hold three bytes
MOST_PADDING = 2


def from_base64(text: str) -> bytes:
    """Decode; raises ValueError for what is no base64."""
    prefix = DATA_URL.match(text)
    letters = (text[prefix.end() :] if prefix else text).encode("ascii").translate(None, WHITESPACE)
    if b"-" in letters or b"_" in letters:
        if b"+" in letters or b"/" in letters:
            raise ValueError("letters of two alphabets")
        letters = letters.translate(URL_ALPHABET)
    bare = letters.rstrip(b"=")
    padding = len(letters) - len(bare)
    missing = -len(bare) % GROUP
    if missing > MOST_PADDING or padding not in {0, missing}:
        raise ValueError("a wrong number of letters, or of =")
    return base64.b64decode(bare + b"=" * missing, validate=True)
