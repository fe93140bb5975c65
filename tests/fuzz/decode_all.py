"""Decodes mutated photos, one after the other: `python -m tests.fuzz.decode_all SEED IMAGES FILE`.

FILE always holds the number of the current photo, so that a crash names it. The last line of the
output is JSON with the counts of all outcomes. Run by `test_decode.py`.
"""

import faulthandler
import json
import os
import sys
import time
import traceback
from collections import Counter
from pathlib import Path

from handlers.shared import photo
from handlers.shared.errors import ProblemError
from loadtest.measure.usage import resident_bytes
from tests.fuzz.costly import MAX_PIXELS, costly
from tests.fuzz.mutate import FORMATS, mutant, seeds

COSTLY_EVERY = 500
READ_EVERY = 20
MAX_FAILURES = 20


def main(seed: int, images: int, progress: Path) -> None:
    """Decode all photos; memory is read between photos, when theirs has been freed."""
    faulthandler.enable()
    photo.ignore_decoder_warnings()
    seeds()
    found: Counter[str] = Counter()
    failures: list[str] = []
    slowest = {"mutant": (0.0, 0), "costly": (0.0, 0)}
    readings: list[int] = []
    with progress.open("r+b", buffering=0) as file:
        for number in range(images):
            file.seek(0)
            file.write(b"%020d" % number)
            kind = "costly" if number % COSTLY_EVERY == 0 else "mutant"
            body = costly(seed, number) if kind == "costly" else mutant(seed, number)
            started = time.process_time()
            try:
                found[outcome(body)] += 1
            except Exception:  # noqa: BLE001 - fuzzing looks for every kind
                failures.append(f"{number}: {traceback.format_exc(limit=-4)}")
            seconds = time.process_time() - started  # CPU time: independent of other programs
            slowest[kind] = max(slowest[kind], (seconds, number))
            if number % READ_EVERY == 0:
                readings.append(resident_bytes(os.getpid()))
            if len(failures) > MAX_FAILURES:
                break
    answer = {"found": found, "failures": failures, "readings": readings}
    print(json.dumps(answer | {"slowest": slowest}))  # noqa: T201


def outcome(body: bytes) -> str:
    """Read a photo as gateway and worker do; returns its format, or the code of its problem."""
    try:
        header = photo.read_header(body, FORMATS)
        photo.check_pixels(header, MAX_PIXELS)
        pixels = photo.decode(body, header)
    except ProblemError as problem:
        return problem.code
    if pixels.shape != (*header.size("exif"), 3) or not pixels.flags.c_contiguous:
        raise ValueError(f"{pixels.shape} for {header}")
    return header.format


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
