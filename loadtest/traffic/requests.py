"""What users ask for: photos in, requests out, every route and output in a fixed proportion.

The list is drawn once from a seed and gone through in turn, so that any stretch of traffic is of
the same mix, and every request's lone answer can be fetched beforehand. Python alone. Called by
`loadtest.locustfile`.
"""

import base64
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.traffic.album import Picture

SEED, ROUNDS = 0, 2  # each picture is sent so often in one list
BATCH_IMAGES = 4
BOUNDARY = "fcnserve-loadtest-7d1f0c5e"
# of a hundred requests; the rest are masks, sent as a body
MIX = {
    "labels": 6,
    "overlay": 8,
    "rle": 5,
    "polygons": 6,
    "summary": 8,
    "confidence": 4,
    "mask form": 6,
    "mask json": 4,
    "mask batch": 3,
    "models": 2,
}


@dataclass(frozen=True, slots=True)
class Errand:
    """One request, and what is known of its answer: output, and each image's (height, width)."""

    name: str
    method: str
    path: str
    content_type: str
    body: bytes
    output: str
    sizes: tuple[tuple[int, int], ...]


def draw_errands(album: Sequence[Picture], mix: dict[str, int] | None = None) -> list[Errand]:
    """Deal kinds of requests out; `mix` says how many of a hundred are other than plain masks."""
    dice = random.Random(f"{SEED} errands")
    count = ROUNDS * max(len(album), 50)
    kinds = [
        kind
        for kind, share in (MIX if mix is None else mix).items()
        for _ in range(round(share * count / 100))
    ]
    kinds += ["mask"] * (count - len(kinds))
    dice.shuffle(kinds)
    return [
        errand(kind, [album[(place + more) % len(album)] for more in range(BATCH_IMAGES)])
        for place, kind in enumerate(kinds)
    ]


def errand(kind: str, pictures: Sequence[Picture]) -> Errand:
    """Write one request; all but a batch take the first picture."""
    first = pictures[0]
    match kind:
        case "models":
            return Errand("models", "GET", "/v1/models", "", b"", "models", ())
        case "mask form":
            return segment(kind, form_type(), form("image", [first]), "mask", first)
        case "mask json":
            encoded = base64.b64encode(first.body).decode()
            body = json.dumps({"image": encoded}).encode()
            return segment(kind, "application/json", body, "mask", first)
        case "mask batch":
            sizes = tuple(picture.size for picture in pictures)
            body, path = form("images", pictures), "/v1/segment/batch"
            return Errand(kind, "POST", path, form_type(), body, "batch", sizes)
        case _:
            return segment(kind, first.media_type, first.body, kind, first)


def segment(kind: str, content_type: str, body: bytes, output: str, picture: Picture) -> Errand:
    path = f"/v1/segment?output={output}"
    return Errand(kind, "POST", path, content_type, body, output, (picture.size,))


def form_type() -> str:
    return f"multipart/form-data; boundary={BOUNDARY}"


def form(field: str, pictures: Sequence[Picture]) -> bytes:
    """Write `multipart/form-data` (RFC 7578)."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{each.name}"'
        f"\r\nContent-Type: {each.media_type}\r\n\r\n".encode()
        + each.body
        + b"\r\n"
        for each in pictures
    ]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
