"""Decodes images that a worker may have died on, in a process of its own, one after the other.

    python -P -m handlers.isolation.trial_decode

Images come on standard input, and a dot for each goes to standard output.

A decoder that crashes, or that takes more CPU time for an image than it may, ends this
process by a signal, and no other; the images after it get another process. What is wrong with an
image is no matter here. Run by `handlers.isolation.guard`.
"""

import os
import signal
import struct
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal, NamedTuple

from handlers.shared.flight_recorder import Ending

# for a process whose parent is gone
LONGEST_S = 60.0
# proc_pid_oom_score_adj(5): the kernel ends this process before any other
OOM_FIRST = "1000"
# told from outside to end, which says nothing of the image
FOREIGN_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# looked at so long, a process that hangs neither has a processor nor waits for one
LOOK_S = 0.2
HANGING_SHARE = 0.1
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


def decode_apart(images: Sequence[Tried], clock_s: float) -> Iterator[Ending | None]:
    """Decode in processes of their own, in `clock_s` seconds together; tell for each image, as soon
    as it is known, how its process died, None where it did not, or where there was no time.
    """
    deadline = time.monotonic() + clock_s
    left = list(images)
    while left and (left_s := deadline - time.monotonic()) > 0:
        done, ending = decode_until_an_end(left, left_s)
        yield from [None] * done
        del left[:done]
        if left and ending:
            yield ending
            del left[:1]
        elif left:
            break
    yield from [None] * len(left)


def decode_until_an_end(images: Sequence[Tried], clock_s: float) -> tuple[int, Ending | None]:
    """Run one process: how many images it was through with, and how it died on the next."""
    framed = b"".join(image.framed() for image in images)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "handlers.isolation.trial_decode"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            told, _ = process.communicate(framed, timeout=clock_s)
        except subprocess.TimeoutExpired:
            hangs = is_hanging(process.pid)
            process.kill()
            told, _ = process.communicate()
            return told.count(DONE), "stalled" if hangs else None
    return told.count(DONE), ending_by(-process.returncode)


def is_hanging(pid: int) -> bool:
    """Tell whether a process waits for something else than a processor: one that a busy machine
    keeps from its work proves nothing.
    """
    try:
        before_s = scheduled_s(pid)
        time.sleep(LOOK_S)
        return scheduled_s(pid) - before_s < HANGING_SHARE * LOOK_S
    except (OSError, ValueError):
        return False


def scheduled_s(pid: int) -> float:
    """Seconds that a process has had a processor or waited for one (sched-stats.rst)."""
    running_ns, waiting_ns, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return (int(running_ns) + int(waiting_ns)) / 1e9


def ending_by(signum: int) -> Ending | None:
    if signum in FOREIGN_SIGNALS:
        return "killed"
    if signum == signal.SIGPROF:
        return "out_of_time"
    return "crashed" if signum > 0 and signum != signal.SIGALRM else None


def bound() -> None:
    """Have the kernel end this process in time, and first where memory runs out."""
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_FIRST)


def main() -> None:
    bound()
    from handlers.shared import photo

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
