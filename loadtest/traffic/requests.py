"""The requests of a load test: photos in, requests out, every route and output in a fixed share.

The list is drawn once from a seed and sent in order, so that every stretch of traffic has the same
mix and the reference answer of each request can be fetched beforehand. Runs in Locust's container
too, so it imports the standard library alone. Called by `loadtest.locustfile`.
"""

import base64
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass

from loadtest.traffic.album import AlbumPhoto

SEED, ROUNDS = 0, 2  # each photo is sent so often in one list
BATCH_IMAGES = 4
BOUNDARY = "fcnserve-loadtest-7d1f0c5e"
# percent of the requests; the rest are masks, sent as a body
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
class LoadRequest:
    """One request and the expected properties of its answer: output, and the (height, width) of
    each image.
    """

    name: str
    method: str
    path: str
    content_type: str
    body: bytes
    output: str
    sizes: tuple[tuple[int, int], ...]


def draw_requests(
    album: Sequence[AlbumPhoto], mix: dict[str, int] | None = None
) -> list[LoadRequest]:
    """Draw requests; `mix` gives the percentage of each kind other than plain masks."""
    rng = random.Random(f"{SEED} requests")
    count = ROUNDS * max(len(album), 50)
    kinds = [
        kind
        for kind, share in (MIX if mix is None else mix).items()
        for _ in range(round(share * count / 100))
    ]
    kinds += ["mask"] * (count - len(kinds))
    rng.shuffle(kinds)
    return [
        build_request(kind, [album[(index + more) % len(album)] for more in range(BATCH_IMAGES)])
        for index, kind in enumerate(kinds)
    ]


def build_request(kind: str, photos: Sequence[AlbumPhoto]) -> LoadRequest:
    """Build one request; all kinds but a batch send the first photo."""
    first = photos[0]
    match kind:
        case "models":
            return LoadRequest("models", "GET", "/v1/models", "", b"", "models", ())
        case "mask form":
            return segment_request(kind, form_type(), form("image", [first]), "mask", first)
        case "mask json":
            encoded = base64.b64encode(first.body).decode()
            body = json.dumps({"image": encoded}).encode()
            return segment_request(kind, "application/json", body, "mask", first)
        case "mask batch":
            sizes = tuple(photo.size for photo in photos)
            body, path = form("images", photos), "/v1/segment/batch"
            return LoadRequest(kind, "POST", path, form_type(), body, "batch", sizes)
        case _:
            return segment_request(kind, first.media_type, first.body, kind, first)


def segment_request(
    kind: str, content_type: str, body: bytes, output: str, photo: AlbumPhoto
) -> LoadRequest:
    path = f"/v1/segment?output={output}"
    return LoadRequest(kind, "POST", path, content_type, body, output, (photo.size,))


def form_type() -> str:
    return f"multipart/form-data; boundary={BOUNDARY}"


def form(field: str, photos: Sequence[AlbumPhoto]) -> bytes:
    """Write `multipart/form-data` (RFC 7578)."""
    parts = [
        f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; filename="{photo.name}"'
        f"\r\nContent-Type: {photo.media_type}\r\n\r\n".encode()
        + photo.body
        + b"\r\n"
        for photo in photos
    ]
    return b"".join([*parts, f"--{BOUNDARY}--\r\n".encode()])
