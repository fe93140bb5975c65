"""Mutated photos, each made from a number: the same number is the same photo, on any machine.

A number picks a photo of `tests.support.photos` or a sample, and one to four changes. Changes that
a checksum would give away are made behind it: a PNG's chunks get fresh ones, often.
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
# where a size, a count or an offset of a file's head stands
HEAD_BYTES = 160
# of a PNG's changes; others end at the first checksum
DEEP_SHARE = 0.5

Change = Callable[[random.Random, bytes], bytes]


def mutant(seed: int, number: int) -> bytes:
    """Make the photo of this number."""
    chance = random.Random(f"{seed}/{number}")
    body = chance.choice(seeds())
    for _ in range(chance.choice((1, 1, 1, 2, 4))):
        deep = body.startswith(PNG_SIGNATURE) and chance.random() < DEEP_SHARE
        body = (inside_png if deep else chance.choice(CHANGES))(chance, body)
    return body


@cache
def seeds() -> list[bytes]:
    """Every photo that the tests know, each format as often as another."""
    bodies = [body for table in (ODD, OPTIONAL, BROKEN) for body, _ in table.values()]
    bodies += [file.read_bytes() for file in sorted((ROOT / "service/samples").glob("*.jpg"))]
    by_format: dict[str, list[bytes]] = {}
    for body in bodies:
        with suppress(ProblemError):  # of no format at all
            if 0 < len(body) <= MAX_SEED_BYTES:
                by_format.setdefault(sniff(body, FORMATS), []).append(body)
    most = max(map(len, by_format.values()))
    return [body for photos in by_format.values() for body in (photos * most)[:most]]


def flip_bits(chance: random.Random, body: bytes) -> bytes:
    changed = bytearray(body)
    for _ in range(chance.choice((1, 1, 2, 4, 16, 64))):
        if changed:
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
    return bytes(changed)


def truncate(chance: random.Random, body: bytes) -> bytes:
    return body[: chance.randrange(len(body) + 1)]


def cut_out(chance: random.Random, body: bytes) -> bytes:
    start, end = span(chance, body)
    return body[:start] + body[end:]


def repeat(chance: random.Random, body: bytes) -> bytes:
    start, end = span(chance, body)
    times = chance.choice((2, 3, 50))
    return body[:start] + body[start:end][:2000] * times + body[end:]


def overwrite(chance: random.Random, body: bytes) -> bytes:
    start, end = span(chance, body)
    filling = chance.choice((b"\0", b"\xff", b"", chance.randbytes(end - start)))
    return body[:start] + (filling * (end - start))[: end - start] + body[end:]


def splice(chance: random.Random, body: bytes) -> bytes:
    """The head of one photo and the tail of another, often of another format."""
    other = chance.choice(seeds())
    return body[: chance.randrange(len(body) + 1)] + other[chance.randrange(len(other)) :]


def set_number(chance: random.Random, body: bytes) -> bytes:
    """An odd number where the head of a file has one."""
    return put_number(chance, body, chance.randrange(max(1, min(len(body), HEAD_BYTES))))


def set_length(chance: random.Random, body: bytes) -> bytes:
    """An odd length behind a marker, a chunk's name or a tag: where readers trust one."""
    starts = [at for at in range(min(len(body), 20_000)) if body[at : at + 1] in b"\xff\0EIVABFp"]
    return put_number(chance, body, chance.choice(starts or [0]) + chance.choice((-4, 1, 2, 4)))


def put_number(chance: random.Random, body: bytes, at: int) -> bytes:
    form = chance.choice(INTEGERS)
    size = struct.calcsize(form)
    value = chance.choice((*INTERESTING, chance.getrandbits(32))) % (1 << 8 * size)
    at = max(0, at)
    return body[:at] + struct.pack(form, value) + body[at + size :]


def insert_exif(chance: random.Random, body: bytes) -> bytes:
    """A damaged EXIF or XMP block, where the format has it."""
    tiff = chance.choice((b"MM\0*\0\0\0\x08", b"II*\0\x08\0\0\0"))
    tags = b"".join(chance.randbytes(12) for _ in range(chance.choice((0, 1, 3, 200))))
    orientation = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
    block = tiff + chance.choice((b"\0\x01", b"\0\x02", b"\xff\xff")) + orientation + tags
    xmp = (
        b"http://ns.adobe.com/xap/1.0/\0<x:xmpmeta tiff:Orientation='"
        + chance.randbytes(8)
        + b"'/>"
    )
    if body.startswith(b"\xff\xd8"):
        data = chance.choice((b"Exif\0\0" + block, xmp))
        return body[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + body[2:]
    if body.startswith(PNG_SIGNATURE):
        at = 33 if len(body) > 33 else len(body)
        return body[:at] + chunk(chance.choice((b"eXIf", b"iTXt", b"zTXt")), block) + body[at:]
    if body.startswith(b"RIFF") and len(body) > 30:
        flagged = body[:20] + bytes([body[20] | 0x0C]) + body[21:]
        return flagged + b"EXIF" + struct.pack("<I", len(block)) + block
    return set_length(chance, body)


def inside_png(chance: random.Random, body: bytes) -> bytes:
    """A change of one chunk's data, or of the rows before compression, with a right checksum."""
    if not body.startswith(PNG_SIGNATURE):
        return flip_bits(chance, body)
    parts, at = [PNG_SIGNATURE], 8
    while at + 12 <= len(body):
        size = int.from_bytes(body[at : at + 4], "big")
        kind, data = body[at + 4 : at + 8], body[at + 8 : at + 8 + size]
        if chance.random() < 0.4:
            data = changed_data(chance, kind, data)
        parts.append(chunk(kind, data))
        at += 12 + size
    return b"".join(parts)


def changed_data(chance: random.Random, kind: bytes, data: bytes) -> bytes:
    simple = chance.choice((flip_bits, set_number, truncate, cut_out, repeat))
    if kind == b"IDAT" and chance.random() < 0.7:
        try:
            return zlib.compress(simple(chance, zlib.decompress(data)), 1)
        except zlib.error:
            pass
    return simple(chance, data)


def span(chance: random.Random, body: bytes) -> tuple[int, int]:
    """A start and an end, near each other more often than not."""
    start = chance.randrange(len(body) + 1)
    return start, min(len(body), start + chance.choice((1, 4, 16, 256, 4096)))


CHANGES: tuple[Change, ...] = (
    *(flip_bits, truncate, cut_out, repeat, overwrite, splice),
    *(set_number, set_length, insert_exif, inside_png),
)
