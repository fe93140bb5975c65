"""Decodes suspects in a process of their own, one after the other.

    python -P -m handlers.isolation.isolated_decode

Images come on standard input, and a dot for each goes to standard output.

A decoder that crashes, or that takes more CPU time for an image than it may, ends this process by a
signal, and no other; the images after it get another process. Decoding errors do not matter here.
Called by `handlers.isolation.quarantine`.
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

from handlers.shared.flight_records import Ending

# for a process whose parent has ended
LONGEST_S = 60.0
# proc_pid_oom_score_adj(5): the kernel ends this process before any other
OOM_FIRST = "1000"
# sent from outside, which shows nothing of the image
OUTSIDE_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
# observed for so long, a process that hangs neither has a processor nor waits for one
OBSERVED_S = 0.2
HANGING_SHARE = 0.1
ORIENTATIONS: tuple[Literal["exif", "stored"], ...] = ("exif", "stored")
# before each image: its bytes, the index of its orientation, and the CPU seconds that it may take
TASK_HEADER = struct.Struct("=QBd")
DONE = b"."


class DecodeTask(NamedTuple):
    """An image to decode, and the CPU seconds that it may take."""

    body: bytes | bytearray
    orientation: Literal["exif", "stored"]
    cpu_s: float

    def message(self) -> bytes:
        orientation = ORIENTATIONS.index(self.orientation)
        return TASK_HEADER.pack(len(self.body), orientation, self.cpu_s) + self.body


def decode_isolated(tasks: Sequence[DecodeTask], clock_s: float) -> Iterator[Ending | None]:
    """Decode in other processes, in `clock_s` seconds together; yield for each image, as soon as it
    is known, how its process ended; None where it did not end, or where there was no time.
    """
    deadline = time.monotonic() + clock_s
    left = list(tasks)
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


def decode_until_an_end(tasks: Sequence[DecodeTask], clock_s: float) -> tuple[int, Ending | None]:
    """Run one process; return how many images it has decoded, and how it ended on the next."""
    messages = b"".join(task.message() for task in tasks)
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "handlers.isolation.isolated_decode"],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            dots, _ = process.communicate(messages, timeout=clock_s)
        except subprocess.TimeoutExpired:
            hangs = is_hanging(process.pid)
            process.kill()
            dots, _ = process.communicate()
            return dots.count(DONE), "stalled" if hangs else None
    return dots.count(DONE), ending_by(-process.returncode)


def is_hanging(pid: int) -> bool:
    """Check whether a process waits for something else than a processor: a process that gets none
    on a busy machine proves nothing.
    """
    try:
        before_s = scheduled_s(pid)
        time.sleep(OBSERVED_S)
        return scheduled_s(pid) - before_s < HANGING_SHARE * OBSERVED_S
    except (OSError, ValueError):
        return False


def scheduled_s(pid: int) -> float:
    """Seconds that a process has had a processor or waited for one (sched-stats.rst)."""
    running_ns, waiting_ns, _ = Path(f"/proc/{pid}/schedstat").read_text().split()
    return (int(running_ns) + int(waiting_ns)) / 1e9


def ending_by(signum: int) -> Ending | None:
    if signum in OUTSIDE_SIGNALS:
        return "killed"
    if signum == signal.SIGPROF:
        return "out_of_time"
    return "crashed" if signum > 0 and signum != signal.SIGALRM else None


def limit_this_process() -> None:
    """Have the kernel end this process in time, and first where memory runs out."""
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_FIRST)


def main() -> None:
    limit_this_process()
    from handlers.shared import photo

    images = sys.stdin.buffer
    while header := images.read(TASK_HEADER.size):
        size, orientation, cpu_s = TASK_HEADER.unpack(header)
        body = images.read(size)
        signal.setitimer(signal.ITIMER_PROF, cpu_s)
        with suppress(Exception):
            opened = photo.read_header(body, photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS)
            photo.decode(body, opened, ORIENTATIONS[orientation])
        os.write(sys.stdout.fileno(), DONE)


if __name__ == "__main__":
    main()
