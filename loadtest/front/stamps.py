"""Time stamps of the way of a photo: written by several processes into one file, on one clock.

A process stamps what happens on its sockets, one line each; `loadtest.front.hops` reads the lines
in the order of their times. Only the standard library, since TorchServe's worker imports it from
the archive.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

STAMPS_FILE = "FRONT_STAMPS"  # environment variable: the path of the file

Stamp = Callable[[str], None]


def open_stamps(path: str) -> Stamp:
    """Return a function that writes a line: nanoseconds of the system's monotonic clock, event."""
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)

    def stamp(event: str) -> None:
        os.write(file, b"%d %s\n" % (time.monotonic_ns(), event.encode()))

    return stamp


def read_stamps(path: Path) -> list[tuple[int, str]]:
    """Read all stamps by time: nanoseconds and event."""
    lines = (line.split(" ", 1) for line in path.read_text().splitlines())
    return sorted((int(ns), event) for ns, event in lines)
