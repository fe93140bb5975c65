"""Whether an answer is what was asked for: media type, size, palette, and the lone answer's bytes.

Python alone: of a PNG, header and palette are read, not its pixels; those are compared as bytes
with the answer that the same request had before the load. Called by `loadtest.locustfile`.
"""

import json
import re
import struct
from collections.abc import Mapping, Sequence

from loadtest.traffic.requests import Errand

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
    """A 200 that is not what was asked for; the text is a reason in the report."""


def check(errand: Errand, content_type: str, body: bytes, palette: bytes) -> list[bytes]:
    """Look at a 200; returns what has to be the lone answer's too, one piece an image.

    `palette` is the model's, three bytes a class. Raises WrongAnswerError.
    """
    media_type = content_type.partition(";")[0]
    wanted = MEDIA_TYPES.get(errand.output, PNG)
    if media_type != wanted:
        raise WrongAnswerError(f"media type {media_type}, not {wanted}")
    pieces = read_mixed(content_type, body) if errand.output == "batch" else [body]
    if errand.output in {"rle", "summary"}:
        check_size(tuple(json.loads(body)["size"]), errand.sizes[0])
    if wanted == PNG or errand.output == "batch":
        if len(pieces) != len(errand.sizes):
            raise WrongAnswerError(f"{len(pieces)} answers to {len(errand.sizes)} images")
        for piece, size in zip(pieces, errand.sizes, strict=True):
            check_png(piece, size, errand.output, palette)
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


def check_size(seen: Sequence[int], wanted: tuple[int, int]) -> None:
    if tuple(seen) != wanted:
        raise WrongAnswerError("size differs from the photo's as a viewer shows it")


def read_mixed(content_type: str, body: bytes) -> list[bytes]:
    """Take `multipart/mixed` (RFC 2046) apart; an image's problem is a wrong answer."""
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
    """The stable `code` of a problem, or that there is none."""
    try:
        problem = json.loads(body)
    except ValueError:
        return "no problem+json"
    return str(problem.get("code", "no code")) if isinstance(problem, dict) else "no problem+json"


def read_palette(card: Mapping[str, list[list[int]]]) -> bytes:
    """The palette of a model card, as PLTE has it."""
    return bytes(value for colour in card["palette"] for value in colour)
