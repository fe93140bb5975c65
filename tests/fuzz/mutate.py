"""Mutated photos: a seed and a number in, a photo out, the same on every machine.

The number selects a photo of `tests.support.photos` or a sample, and one to four changes. Many
changes of PNGs are made inside a chunk, with a new checksum, since decoders check that first.
Called by `tests.fuzz.decode_all` and `tests.fuzz.test_sent`.
"""

import random
import struct
import zlib
from collections.abc import Callable
from contextlib import suppress
from functools import cache

from handlers.shared.errors import ProblemError
from handlers.shared.photo import DEFAULT_FORMATS, OPTIONAL_FORMATS
from handlers.shared.photo.formats import sniff
from tests.support.fakes import ROOT
from tests.support.photos import BROKEN, ODD, OPTIONAL, PNG_SIGNATURE, chunk

FORMATS = DEFAULT_FORMATS | OPTIONAL_FORMATS
MAX_SEED_BYTES = 100_000
INTERESTING = (0, 1, 2, 7, 8, 9, 127, 128, 255, 256, 4095, 32767, 32768, 65535, 65536, 2**31 - 1)
INTEGERS = (">B", ">H", "<H", ">I", "<I")
# where the sizes, counts and offsets of a file's header are
HEADER_BYTES = 160
# of the changes of a PNG; decoders reject the others at the first checksum
INSIDE_CHUNKS_SHARE = 0.5

Change = Callable[[random.Random, bytes], bytes]


def mutant(seed: int, number: int) -> bytes:
    """Make the photo of a number."""
    rng = random.Random(f"{seed}/{number}")
    body = rng.choice(seeds())
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        is_inside = body.startswith(PNG_SIGNATURE) and rng.random() < INSIDE_CHUNKS_SHARE
        body = (change_inside_png if is_inside else rng.choice(CHANGES))(rng, body)
    return body


@cache
def seeds() -> list[bytes]:
    """Return the photos of all tests; every format is equally frequent."""
    bodies = [body for table in (ODD, OPTIONAL, BROKEN) for body, _ in table.values()]
    bodies += [file.read_bytes() for file in sorted((ROOT / "service/samples").glob("*.jpg"))]
    by_format: dict[str, list[bytes]] = {}
    for body in bodies:
        with suppress(ProblemError):  # of no known format
            if 0 < len(body) <= MAX_SEED_BYTES:
                by_format.setdefault(sniff(body, FORMATS), []).append(body)
    most = max(map(len, by_format.values()))
    return [body for photos in by_format.values() for body in (photos * most)[:most]]


def flip_bits(rng: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(rng.choice((1, 1, 2, 4, 16, 64))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def truncate(rng: random.Random, body: bytes) -> bytes:
    return body[: rng.randrange(len(body) + 1)]


def cut_out(rng: random.Random, body: bytes) -> bytes:
    start, end = span(rng, body)
    return body[:start] + body[end:]


def repeat(rng: random.Random, body: bytes) -> bytes:
    start, end = span(rng, body)
    times = rng.choice((2, 3, 50))
    return body[:start] + body[start:end][:2000] * times + body[end:]


def overwrite(rng: random.Random, body: bytes) -> bytes:
    start, end = span(rng, body)
    filling = rng.choice((b"\0", b"\xff", b"", rng.randbytes(end - start)))
    return body[:start] + (filling * (end - start))[: end - start] + body[end:]


def splice(rng: random.Random, body: bytes) -> bytes:
    """Join the start of one photo and the end of another, often of another format."""
    other = rng.choice(seeds())
    return body[: rng.randrange(len(body) + 1)] + other[rng.randrange(len(other)) :]


def set_number(rng: random.Random, body: bytes) -> bytes:
    """Write an unusual number into the header of the file."""
    return put_number(rng, body, rng.randrange(max(1, min(len(body), HEADER_BYTES))))


def set_length(rng: random.Random, body: bytes) -> bytes:
    """Write an unusual length behind a marker, a chunk's name or a tag, where decoders read one."""
    starts = [at for at in range(min(len(body), 20_000)) if body[at : at + 1] in b"\xff\0EIVABFp"]
    return put_number(rng, body, rng.choice(starts or [0]) + rng.choice((-4, 1, 2, 4)))


def put_number(rng: random.Random, body: bytes, at: int) -> bytes:
    form = rng.choice(INTEGERS)
    size = struct.calcsize(form)
    value = rng.choice((*INTERESTING, rng.getrandbits(32))) % (1 << 8 * size)
    at = max(0, at)
    return body[:at] + struct.pack(form, value) + body[at + size :]


def insert_exif(rng: random.Random, body: bytes) -> bytes:
    """Insert a damaged EXIF or XMP block, where the format has one."""
    tiff = rng.choice((b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0"))
    tags = b"".join(rng.randbytes(12) for _ in range(rng.choice((0, 1, 3, 200))))
    orientation = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
    block = tiff + rng.choice((b"\0\x01", b"\0\x02", b"\xff\xff")) + orientation + tags
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation='" + rng.randbytes(8) + b"'/>"
    if body.startswith(b"\xff\xd8"):
        data = rng.choice((b"Exif\0\0" + block, xmp))
        return body[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + body[2:]
    if body.startswith(PNG_SIGNATURE):
        at = 33 if len(body) > 33 else len(body)
        return body[:at] + chunk(rng.choice((b"eXIf", b"iTXt", b"zTXt")), block) + body[at:]
    if body.startswith(b"RIFF") and len(body) > 30:
        flagged = body[:20] + bytes([body[20] | 0x0C]) + body[21:]
        return flagged + b"EXIF" + struct.pack("<I", len(block)) + block
    return set_length(rng, body)


def change_inside_png(rng: random.Random, body: bytes) -> bytes:
    """Change chunks' data, or the rows before compression, with a valid checksum."""
    if not body.startswith(PNG_SIGNATURE):
        return flip_bits(rng, body)
    parts, at = [PNG_SIGNATURE], 8
    while at + 12 <= len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        kind, data = body[at + 4 : at + 8], body[at + 8 : at + 8 + size]
        if rng.random() < 0.4:
            data = changed_data(rng, kind, data)
        parts.append(chunk(kind, data))
        at += 12 + size
    return b"".join(parts)


def changed_data(rng: random.Random, kind: bytes, data: bytes) -> bytes:
    simple = rng.choice((flip_bits, set_number, truncate, cut_out, repeat))
    if kind == b"IDAT" and rng.random() < 0.7:
        try:
            return zlib.compress(simple(rng, zlib.decompress(data)), 1)
        except zlib.error:
            pass
    return simple(rng, data)


def span(rng: random.Random, body: bytes) -> tuple[int, int]:
    """Return a start and an end, mostly close to each other."""
    start = rng.randrange(len(body) + 1)
    return start, min(len(body), start + rng.choice((1, 4, 16, 256, 4096)))


CHANGES: tuple[Change, ...] = (
    *(flip_bits, truncate, cut_out, repeat, overwrite, splice),
    *(set_number, set_length, insert_exif, change_inside_png),
)
