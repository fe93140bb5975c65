"""Checks a 200 answer: media type, size and palette; returns the bytes that must not vary.

Runs in Locust's container too, so it imports the standard library alone: of a PNG it reads the
header and the palette, not the pixels. Called by `loadtest.locustfile`, which compares the returned
bytes with the reference answer, the answer to the same request while the service is idle.
"""

import json
import re
import struct
from collections.abc import Mapping, Sequence

from loadtest.traffic.requests import LoadRequest

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
PNG_HEADER = struct.Struct(">4x4sIIBB")  # after the signature: IHDR, width, height, depth, colour
GREY, PALETTE, GREY_ALPHA = 0, 3, 4  # PNG's colour types
COLOUR_TYPES = {"mask": PALETTE, "batch": PALETTE, "labels": GREY, "confidence": GREY_ALPHA}
MEDIA_TYPES = {
    "batch": "multipart/mixed",
    "rle": "application/json",
    "summary": "application/json",
    "models": "application/json",
    "polygons": "application/geo+json",
}
PNG, PROBLEM = "image/png", "application/problem+json"


class WrongAnswerError(Exception):
    """A 200 answer does not fit its request; the text is the reason in the report."""


def check_answer(
    request: LoadRequest, content_type: str, body: bytes, palette: bytes
) -> list[bytes]:
    """Check a 200 answer and return its bytes, one piece per image.

    `palette` is the model's, three bytes per class. Raises WrongAnswerError.
    """
    media_type = content_type.partition(";")[0]
    expected = MEDIA_TYPES.get(request.output, PNG)
    if media_type != expected:
        raise WrongAnswerError(f"media type {media_type}, not {expected}")
    pieces = split_multipart(content_type, body) if request.output == "batch" else [body]
    if request.output in {"rle", "summary"}:
        check_size(tuple(json.loads(body)["size"]), request.sizes[0])
    if expected == PNG or request.output == "batch":
        if len(pieces) != len(request.sizes):
            raise WrongAnswerError(f"{len(pieces)} answers to {len(request.sizes)} images")
        for piece, size in zip(pieces, request.sizes, strict=True):
            check_png(piece, size, request.output, palette)
    return pieces


def check_png(body: bytes, size: tuple[int, int], output: str, palette: bytes) -> None:
    if not body.startswith(PNG_SIGNATURE):
        raise WrongAnswerError("no PNG")
    _, width, height, _, colour_type = PNG_HEADER.unpack_from(body, len(PNG_SIGNATURE))
    check_size((height, width), size)
    if colour_type != COLOUR_TYPES.get(output, colour_type):
        raise WrongAnswerError(f"colour type {colour_type} of {output}")
    if colour_type == PALETTE and b"PLTE" + palette not in body[:2048]:
        raise WrongAnswerError("another palette than the model's")


def check_size(found: Sequence[int], expected: tuple[int, int]) -> None:
    if tuple(found) != expected:
        raise WrongAnswerError("size differs from the photo's as a viewer shows it")


def split_multipart(content_type: str, body: bytes) -> list[bytes]:
    """Split `multipart/mixed` (RFC 2046); a problem document among the parts is a wrong answer."""
    found = re.search(r'boundary="?([^";]+)', content_type)
    if found is None:
        raise WrongAnswerError("multipart without a boundary")
    parts = (b"\r\n" + body).split(f"\r\n--{found[1]}".encode())[1:-1]
    pieces = []
    for part in parts:
        head, _, piece = part.partition(b"\r\n\r\n")
        if PROBLEM.encode() in head:
            raise WrongAnswerError(f"an image of the batch: {problem_code(piece)}")
        pieces.append(piece)
    return pieces


def problem_code(body: bytes) -> str:
    """Return the stable `code` of a problem document, or a text that there is none."""
    try:
        problem = json.loads(body)
    except ValueError:
        return "no problem+json"
    return str(problem.get("code", "no code")) if isinstance(problem, dict) else "no problem+json"


def read_palette(card: Mapping[str, list[list[int]]]) -> bytes:
    """Return the palette of a model card in the layout of a PLTE chunk."""
    return bytes(value for colour in card["palette"] for value in colour)
