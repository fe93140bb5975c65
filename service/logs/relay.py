"""Lines that a subprocess writes to stderr, as objects where logs are JSON: lines in, the same ones
out, those that are no objects as the text of one.

Java writes some around its own log, such as its warnings at the start and why it crashed. Called by
`service.worker.torchserve`.
"""

import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO

import structlog

from service.settings import Settings

# after a subprocess has ended: its last lines are in the pipe, unless an orphan holds that open
LAST_LINES_S = 2.0
OBJECT = b'{"event": '


@contextmanager
def stderr_for(settings: Settings, name: str) -> Iterator[int | None]:
    """Yield what a subprocess is to have as stderr: this process's own (None), or for JSON a pipe
    whose lines are relayed under the logger's name. To be left when the subprocess has ended.
    """
    if settings.log_format != "json":
        yield None
        return
    read_end, write_end = os.pipe()
    with os.fdopen(read_end, "rb") as lines:
        thread = threading.Thread(target=relay, args=(lines, name), daemon=True)
        thread.start()
        try:
            yield write_end
        finally:
            os.close(write_end)
            thread.join(LAST_LINES_S)


def relay(lines: BinaryIO, name: str) -> None:
    """Write each line to stderr, until the last process has closed the pipe."""
    logger = structlog.get_logger(name)
    for line in lines:
        if line.startswith(OBJECT):
            sys.stderr.write(line.decode(errors="replace"))
            sys.stderr.flush()
        elif text := line.decode(errors="replace").strip():
            logger.warning(text)
