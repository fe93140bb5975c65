"""A body of sections: so that one HTTP request carries several images, and its answer theirs.

    number of sections | length of each | the sections, one after the other

The numbers have four bytes, the highest first. An image is a fixed number of consecutive sections,
which `handlers.shared.wire` lists. Requests are written by `service.backend.client` and read by
`handlers.job`; answers the other way round.
"""

import struct
from collections.abc import Sequence
from itertools import accumulate, pairwise

from handlers.shared.errors import WorkerFailedError

NUMBER = struct.Struct("!I")
MOST_SECTIONS = 1024  # three of each image of the largest batch, and some


def with_lengths(sections: Sequence[bytes]) -> list[bytes]:
    """Return the parts of a body of these sections; the sections themselves are not copied."""
    count = len(sections)
    return [struct.pack(f"!{count + 1}I", count, *map(len, sections)), *sections]


def split_sections(body: bytes | bytearray, each: int) -> list[tuple[memoryview, ...]]:
    """Split a body into its images, of `each` sections; raises WorkerFailedError for a body of
    another release.
    """
    view = memoryview(body)
    try:
        (count,) = NUMBER.unpack_from(view)
        if not 0 < count <= MOST_SECTIONS or count % each:
            raise ValueError(f"{count} sections")
        lengths = struct.unpack_from(f"!{count}I", view, NUMBER.size)
        ends = list(accumulate(lengths, initial=NUMBER.size * (count + 1)))
        if ends[-1] != len(view):
            raise ValueError(f"{len(view)} bytes instead of {ends[-1]}")
    except (struct.error, ValueError) as error:
        raise WorkerFailedError(
            "a body between gateway and worker is not what this version writes; "
            "run gateway and worker from the same release"
        ) from error
    sections = (view[start:end] for start, end in pairwise(ends))
    return list(zip(*[sections] * each, strict=True))
