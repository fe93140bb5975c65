"""The page reads label maps from PNGs as they were written, in a real browser."""

import base64
import zlib
from itertools import pairwise

import numpy as np
import pytest
from numpy.typing import NDArray

from handlers.shared.png import SIGNATURE, chunk, write_grey, write_grey_alpha, write_indexed
from tests.browser.visits import Visit

DECODE = """
    const bytes = Uint8Array.from(atob(argument), (character) => character.charCodeAt(0));
    const { samples, ...rest } = await module.decodePng(bytes.buffer);
    return { ...rest, samples: btoa(String.fromCharCode(...samples)) };
"""
RANDOM = np.random.default_rng(7)
LABELS = RANDOM.integers(0, 256, (9, 13), np.uint8)
CONFIDENCE = RANDOM.integers(0, 256, (9, 13), np.uint8)
GREY, GREY_ALPHA, RGB = 0, 4, 2


def decode(visit: Visit, png: bytes) -> NDArray[np.uint8]:
    """The page's samples (H, W, channels)."""
    found = visit.evaluate("png.js", DECODE, base64.b64encode(png).decode())
    samples = np.frombuffer(base64.b64decode(found["samples"]), np.uint8)
    return samples.reshape(found["height"], found["width"], found["channels"])


def filtered_png(pixels: NDArray[np.uint8], colour_type: int, parts: int = 1) -> bytes:
    """A PNG whose rows have all five filters in turn, its data in several chunks."""
    height, width = pixels.shape[:2]
    header = np.array([width, height], ">u4").tobytes() + bytes([8, colour_type, 0, 0, 0])
    step = pixels[0, 0].size
    rows = pixels.reshape(height, -1).astype(int)
    padded = np.pad(rows, ((1, 0), (step, 0)))
    data = b"".join(filtered_row(padded, y, y % 5, step) for y in range(height))
    packed = zlib.compress(data)
    cuts = [len(packed) * part // parts for part in range(parts + 1)]
    pieces = [chunk(b"IDAT", packed[a:b]) for a, b in pairwise(cuts)]
    return b"".join([SIGNATURE, chunk(b"IHDR", header), *pieces, chunk(b"IEND", b"")])


def filtered_row(padded: NDArray[np.int_], y: int, kind: int, step: int) -> bytes:
    """A row as PNG 9.2 filters it; `padded` has zeros above and on the left."""
    row, above = padded[y + 1, step:], padded[y, step:]
    left, corner = padded[y + 1, :-step], padded[y, :-step]
    guess = left + above - corner
    distances = np.abs(np.stack([left, above, corner]) - guess)
    paeth = np.choose(distances.argmin(axis=0), [left, above, corner])
    predicted = [np.zeros_like(row), left, above, (left + above) // 2, paeth][kind]
    difference: NDArray[np.int_] = row - predicted
    return bytes([kind]) + (difference % 256).astype(np.uint8).tobytes()


def test_the_services_own_pngs_are_read_exactly(visit: Visit) -> None:
    palette = bytes(range(256)) * 3
    assert np.array_equal(decode(visit, write_grey(LABELS))[..., 0], LABELS)
    assert np.array_equal(decode(visit, write_indexed(LABELS, palette))[..., 0], LABELS)
    both = decode(visit, write_grey_alpha(LABELS, CONFIDENCE))
    assert np.array_equal(both, np.dstack([LABELS, CONFIDENCE]))


@pytest.mark.parametrize("parts", [1, 7])
def test_every_filter_is_undone(visit: Visit, parts: int) -> None:
    assert np.array_equal(decode(visit, filtered_png(LABELS, GREY, parts))[..., 0], LABELS)
    both = np.dstack([LABELS, CONFIDENCE])
    assert np.array_equal(decode(visit, filtered_png(both, GREY_ALPHA, parts)), both)


def damaged() -> dict[str, tuple[bytes, str]]:
    png = write_grey(LABELS)
    tall = png[:16] + np.array([13, 10], ">u4").tobytes() + png[24:]
    flat = png[:16] + np.array([13, 8], ">u4").tobytes() + png[24:]
    rgb = filtered_png(RANDOM.integers(0, 256, (4, 4, 3), np.uint8), RGB)
    data = png.index(b"IDAT") + 12
    broken = png[:data] + bytes([png[data] ^ 255]) + png[data + 1 :]
    return {
        "text": (b"<html>no PNG</html>", "not a PNG"),
        "empty": (b"", "not a PNG"),
        "cut": (png[:-20], "cut short"),
        "no-end": (png[:-12], "cut short"),
        "more-rows-announced": (tall, "fewer pixels"),
        "fewer-rows-announced": (flat, "more data"),
        "colours": (rgb, "colour type 2"),
        "broken-data": (broken, "cannot be decompressed"),
        "no-header": (SIGNATURE + chunk(b"IEND", b""), "no header"),
    }


@pytest.mark.parametrize("name", damaged())
def test_a_damaged_png_is_refused_with_the_reason(visit: Visit, name: str) -> None:
    png, reason = damaged()[name]
    body = f"try {{ {DECODE} }} catch (error) {{ return error.message; }}"
    assert reason in visit.evaluate("png.js", body, base64.b64encode(png).decode())


def test_a_label_map_has_classes_and_confidences_apart(visit: Visit) -> None:
    body = """
        const map = module.labelMapOf({ ...argument, samples: Uint8Array.from(argument.samples) });
        return [map.width, map.height, [...map.labels], [...map.confidence]];
    """
    two = {"width": 2, "height": 1, "channels": 2, "samples": [3, 200, 0, 10]}
    assert visit.evaluate("label_map.js", body, two) == [2, 1, [3, 0], [200, 10]]
    one = {"width": 2, "height": 1, "channels": 1, "samples": [3, 0]}
    assert visit.evaluate("label_map.js", body, one) == [2, 1, [3, 0], [255, 255]]
