"""Runs pip and shows its lines as they come, less the noise; explains a failure.

In: pip's arguments. Out: True, or an `InstallError` that says what failed and what to do.
On a terminal pip gets a terminal of its own, so that its progress bars live.
Called by `deploy/environment.py`.
"""

import codecs
import os
import pty
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from deploy.advice import InstallError

_CONTROL = re.compile(r"\x1b\[[?\d;]*[A-Za-z]|\r")
"""What a terminal obeys and a person does not see."""

NOISE = ("Requirement already satisfied", "Looking in links:", "Looking in indexes:")
"""Lines that begin like this are not shown."""

TRIAL_NOISE = (*NOISE, "ERROR:", "WARNING:")
"""The same for a trial, whose failure is an answer and no error."""


@dataclass(frozen=True, slots=True)
class Pip:
    """The pip of one environment, run in the checkout."""

    python: Path
    root: Path

    def install(self, *arguments: str, is_trial: bool = False) -> bool:
        """Install; False when a trial finds nothing. Raises InstallError."""
        bar = () if sys.stdout.isatty() else ("--progress-bar", "off")
        command = [str(self.python), "-I", "-m", "pip", "install", *bar, *arguments]
        status, output = _stream(command, self.root, TRIAL_NOISE if is_trial else NOISE)
        if status and not is_trial:
            raise InstallError(f"pip install {' '.join(arguments)}", output)
        return status == 0


class LineFilter:
    """Drops lines by their beginning from a stream cut anywhere, and holds back no others."""

    def __init__(self, noise: tuple[str, ...]) -> None:
        """Take the beginnings of the lines to drop."""
        self._noise = noise
        self._held = ""
        self._inside_line = False

    def feed(self, text: str) -> str:
        """What to show of the stream so far, beyond what was shown before."""
        lines = (self._held + text).splitlines(keepends=True)
        self._held = ""
        return "".join(self._sift(line) for line in lines)

    def end(self) -> str:
        """What was held back in doubt, when the stream has ended."""
        held, self._held = self._held, ""
        return held

    def _sift(self, line: str) -> str:
        begins_line, self._inside_line = not self._inside_line, not line.endswith("\n")
        if not begins_line:
            return line
        text = _CONTROL.sub("", line)
        if not line.endswith("\n") and any(n.startswith(text[: len(n)]) for n in self._noise):
            self._held, self._inside_line = line, False
            return ""
        return "" if text.startswith(self._noise) else line


def _stream(command: list[str], folder: Path, noise: tuple[str, ...]) -> tuple[int, str]:
    """Run the command; returns its exit status and all it wrote."""
    ours, theirs = pty.openpty() if sys.stdout.isatty() else os.pipe()
    with subprocess.Popen(
        command, cwd=folder, env=_environment(), stdout=theirs, stderr=theirs
    ) as running:
        os.close(theirs)
        try:
            output = _show(_chunks(ours), LineFilter(noise))
            return running.wait(), output
        finally:
            running.terminate()
            os.close(ours)


def _show(chunks: Iterator[str], lines: LineFilter) -> str:
    seen = []
    for chunk in chunks:
        seen.append(chunk)
        sys.stdout.write(lines.feed(chunk))
        sys.stdout.flush()
    sys.stdout.write(lines.end())
    return "".join(seen)


def _chunks(descriptor: int) -> Iterator[str]:
    """What the command writes, until it ends; a closed terminal reads as an error."""
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    while chunk := _read(descriptor):
        yield decoder.decode(chunk)


def _read(descriptor: int) -> bytes:
    try:
        return os.read(descriptor, 65536)
    except OSError:
        return b""


def _environment() -> dict[str, str]:
    """The user's pip settings hold, except those that would install outside the environment."""
    away = ("PIP_USER", "PIP_TARGET", "PIP_PREFIX", "PIP_CONSTRAINT", "PIP_REQUIREMENT")
    kept = {name: value for name, value in os.environ.items() if name not in away}
    width = str(shutil.get_terminal_size().columns)
    return kept | {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "COLUMNS": width}
