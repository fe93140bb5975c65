"""Where log lines leave a process: lines in, a few writes to stderr out. Set up by
`service.logs.configuration`.

Lines that report progress wait in the event loop for FLUSH_S, so that a busy gateway writes many at
once; a killed process loses those. Warnings and errors are written at once, with all that wait, and
so is every line without an event loop. `logging.shutdown`, at a process's end, writes the rest.
"""

import asyncio
import logging
import threading
from contextlib import suppress
from typing import TextIO

FLUSH_S = 0.02
# a write of so many bytes to a pipe is not mixed with another process's (POSIX: PIPE_BUF)
MAX_WRITE_BYTES = 4096


class Lines:
    """Writes whole lines to a stream, from any thread."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._waiting: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing = threading.Lock()

    def write(self, line: str) -> None:
        """Write a line soon; at once without an event loop."""
        self._waiting.append(f"{line}\n")
        if self._timer is not None:
            return
        try:
            loop = asyncio.get_running_loop()
        except RuntimeError:
            self.flush()
        else:
            self._timer = loop.call_later(FLUSH_S, self.flush)

    def write_now(self, line: str) -> None:
        """Write a line, and all before it."""
        self._waiting.append(f"{line}\n")
        self.flush()

    def flush(self) -> None:
        """Write all that waits."""
        self._timer = None
        with self._writing, suppress(OSError, ValueError):  # the stream is closed, or its reader
            count = len(self._waiting)
            lines = self._waiting[:count]
            del self._waiting[:count]
            for text in joined_writes(lines):
                self._stream.write(text)
                self._stream.flush()


def joined_writes(lines: list[str]) -> list[str]:
    """Join lines, to as many bytes as are written in one piece."""
    writes: list[str] = []
    free_bytes = 0
    for line in lines:
        line_bytes = len(line.encode(errors="replace"))
        if line_bytes <= free_bytes:
            writes[-1] += line
        else:
            writes.append(line)
            free_bytes = MAX_WRITE_BYTES
        free_bytes -= line_bytes
    return writes


class LineLogger:
    """What structlog passes rendered lines to."""

    def __init__(self, lines: Lines, name: str = "") -> None:
        self.name = name
        self.debug = self.info = lines.write
        self.warning = self.error = self.critical = lines.write_now


class LineHandler(logging.Handler):
    """What the standard library's loggers pass their records to."""

    def __init__(self, lines: Lines) -> None:
        super().__init__()
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._lines.write_now(self.format(record))
        except Exception:  # noqa: BLE001 - as in all handlers of the standard library
            self.handleError(record)

    def flush(self) -> None:
        self._lines.flush()
