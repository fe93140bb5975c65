"""Decodes images that a worker may have died on, in a process of its own, one after the other.

    python -P -m handlers.trial    images on standard input, a dot for each on standard output

A decoder that crashes, or that takes more CPU time for an image than it may, ends this
process by a signal, and no other; the images after it get another process. What is wrong with an
image is no matter here. Run by `handlers.guard`.
"""

import os
import signal
import struct
import subprocess
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from handlers.flight_recorder import Ending

# for a process whose parent is gone
LONGEST_S = 60.0
# proc_pid_oom_score_adj(5): the kernel ends this process before any other
OOM_FIRST = "1000"
# told from outside to end, which says nothing of the image
FOREIGN_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
ORIENTATIONS: tuple[Literal["exif", "stored"], ...] = ("exif", "stored")
# before each image: its bytes, the place of its orientation, and the CPU seconds that it may take
FRAME = struct.Struct("=QBd")
DONE = b"."


class Tried(NamedTuple):
    """An image to be decoded."""

    body: bytes | bytearray
    orientation: Literal["exif", "stored"]
    cpu_s: float

    def framed(self) -> bytes:
        orientation = ORIENTATIONS.index(self.orientation)
        return FRAME.pack(len(self.body), orientation, self.cpu_s) + self.body


def decode_apart(images: Sequence[Tried], clock_s: float) -> list[Ending | None]:
    """Decode in processes of their own; tell for each image how its process died, None where it did
    not.
    """
    endings: list[Ending | None] = []
    while left := images[len(endings) :]:
        done, ending = decode_until_an_end(left, clock_s)
        endings += [None] * done
        if done < len(left):
            endings += [ending] if ending else [None] * (len(left) - done)
    return endings


def decode_until_an_end(images: Sequence[Tried], clock_s: float) -> tuple[int, Ending | None]:
    """Run one process: how many images it was through with, and how it died on the next."""
    framed = b"".join(image.framed() for image in images)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "handlers.trial"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            told, _ = process.communicate(framed, timeout=clock_s)
        except subprocess.TimeoutExpired:
            process.kill()
            told, _ = process.communicate()
            return told.count(DONE), "stalled"
    return told.count(DONE), ending_by(-process.returncode)


def ending_by(signum: int) -> Ending | None:
    if signum in FOREIGN_SIGNALS:
        return "killed"
    if signum == signal.SIGPROF:
        return "out_of_time"
    return "crashed" if signum > 0 else None


def bound() -> None:
    """Have the kernel end this process in time, and first where memory runs out."""
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_FIRST)


def main() -> None:
    bound()
    from handlers import photo

    images = sys.stdin.buffer
    while frame := images.read(FRAME.size):
        size, place, cpu_s = FRAME.unpack(frame)
        body = images.read(size)
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        with suppress(Exception):
            header = photo.read_header(body, photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS)
            photo.decode(body, header, ORIENTATIONS[place])
        os.write(sys.stdout.fileno(), DONE)


if __name__ == "__main__":
    main()
