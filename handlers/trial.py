"""Decodes one image in a process of its own, and ends; for images that a worker has died on.

    python -P -m handlers.trial SECONDS ORIENTATION    the image's bytes on standard input

A decoder that crashes, or that takes more than SECONDS of a processor, ends this process by a
signal, and no other. What is wrong with the image is no matter here. Run by `handlers.guard`.
"""

import os
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

from handlers.flight_recorder import Ending

# for a process whose parent is gone
LONGEST_S = 60.0
# a decoder that waits for something needs no processor: seconds of the clock for each of CPU time
CLOCK_SHARE = 1.5
# proc_pid_oom_score_adj(5): the kernel ends this process before any other
OOM_FIRST = "1000"
# told from outside to end, which says nothing of the image
FOREIGN_SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def decode_apart(body: bytes | bytearray, orientation: str, cpu_s: float) -> Ending | None:
    """Decode in a process of its own; tell how that died, None where it did not."""
    with subprocess.Popen(
        [sys.executable, "-P", "-m", "handlers.trial", str(cpu_s), orientation],
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            process.communicate(bytes(body), timeout=CLOCK_SHARE * cpu_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            return "out_of_time"
    signum = -process.returncode
    if signum in FOREIGN_SIGNALS:
        return "killed"
    if signum == signal.SIGPROF:
        return "out_of_time"
    return "crashed" if signum > 0 else None


def bound(cpu_s: float) -> None:
    """Have the kernel end this process in time, and first where memory runs out."""
    signal.setitimer(signal.ITIMER_PROF, cpu_s)
    signal.setitimer(signal.ITIMER_REAL, LONGEST_S)
    with suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text(OOM_FIRST)


def main() -> None:
    bound(float(sys.argv[1]))
    from handlers import photo

    body = sys.stdin.buffer.read()
    header = photo.read_header(body, photo.DEFAULT_FORMATS | photo.OPTIONAL_FORMATS)
    photo.decode(body, header, sys.argv[2])  # type: ignore[arg-type]  # as the worker was given it


if __name__ == "__main__":
    main()
