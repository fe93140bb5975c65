"""A file that lines are added to, each whole: a descriptor, or a name, in; lines in that file out.

A line is written by one call, so that runs beside each other do not mix theirs. Where a file ends
in half a line, of a full disk or a machine that stopped, the next line begins anew, and only the
half one is lost. Called by `service.client.done` and `service.cli.segment_results`.
"""

import os
import stat
from threading import Lock
from typing import Self

from service.client.write import write_all

END = b"\n"


class LineFile:
    """An open file of lines."""

    def __init__(self, descriptor: int, name: str, *, is_complete: bool = True) -> None:
        """Take a descriptor, which `close` closes, and whether the file ends in a whole line."""
        self._descriptor, self._name = descriptor, name
        self._is_complete = is_complete
        self._turn = Lock()

    @classmethod
    def open(cls, name: str | os.PathLike[str], *, append: bool) -> Self:
        """Open a file, made where there is none, for more lines or, emptied, for new ones."""
        flags = os.O_WRONLY | os.O_CREAT | (os.O_APPEND if append else os.O_TRUNC)
        descriptor = os.open(name, flags, 0o666)
        return cls(
            descriptor, os.fspath(name), is_complete=not append or _ends_complete(name, descriptor)
        )

    def add(self, line: bytes) -> None:
        """Write a line, given without its end; raises OSError with the file's name."""
        with self._turn:
            begin = b"" if self._is_complete else END
            self._is_complete = False
            try:
                write_all(self._descriptor, begin + line + END)
            except OSError as error:
                raise OSError(error.errno, error.strerror, self._name) from error
            self._is_complete = True

    def close(self) -> None:
        os.close(self._descriptor)


def _ends_complete(name: str | os.PathLike[str], descriptor: int) -> bool:
    """Return whether a file is empty, passes its bytes on, or ends in a whole line."""
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode) or not found.st_size:
        return True
    with open(name, "rb") as file:  # noqa: PTH123 - a name as os.open takes it
        file.seek(-1, os.SEEK_END)
        return file.read() == END
