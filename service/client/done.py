"""What a folder has answers of, so that `fcnserve segment --resume` skips it: a line an answer.

In: the folder OUT, and the request's options. Out: whether an answer is there that the same photo,
options and model would give again; and which files are answers, and no photos of another run.
Called by `service.client.segment` and `service.client.naming`.

The file OUT/.fcnserve-done.jsonl only grows: a line is appended after its answer has its name, so
that a program that is killed leaves at most a line too few, or half of one, which is skipped. The
last line about an answer counts. The size is kept too: a machine that loses its power
may have the name of a file without its contents.
"""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from threading import Lock
from typing import Any

from service.client.lines import LineFile

DONE_FILE = ".fcnserve-done.jsonl"


def photo_digest(photo: bytes) -> str:
    """Hash a photo; the same bytes under another name are the same photo."""
    return hashlib.sha256(photo).hexdigest()


class DoneAnswers:
    """The answers in one folder."""

    def __init__(self, folder: Path, options: Mapping[str, str]) -> None:
        """Take the options that an answer depends on."""
        self._folder, self._file = folder, folder / DONE_FILE
        self._options = dict(options)
        # by the answer's name: a hash of what it was made of, and its bytes. Of 100,000 answers
        # 30 MB, where whole lines would be 100
        self._known: dict[str, tuple[bytes, int]] = {}
        self._lines: LineFile | None = None
        self._opening = Lock()

    def read(self) -> None:
        """Read which answers are there; a line that cannot be read is an answer that is not."""
        for line in _lines(self._file):
            try:
                made_of = _made_of(line["photo"], line["options"], line["model"])
                self._known[str(line["answer"])] = made_of, int(line["bytes"])
            except (ValueError, LookupError, TypeError):
                continue

    def holds(self, target: str, photo: str, model: str) -> bool:
        """Return whether the file `target` was made of this photo by this model, `name@digest`."""
        name = self._name(target)
        made_of, size = self._known.get(name, (b"", -1))
        if made_of != _made_of(photo, self._options, model):
            return False
        try:
            return os.stat(target).st_size == size  # noqa: PTH116 - as service.client.files
        except OSError:
            return False

    def add(self, target: str, photo: str, model: str, size: int) -> None:
        """Append a line; raises OSError."""
        line = {
            "answer": self._name(target),
            "photo": photo,
            "options": self._options,
            "model": model,
            "bytes": size,
        }
        with self._opening:
            if self._lines is None:
                self._lines = LineFile.open(self._file, append=True)
        self._lines.add(json.dumps(line).encode())

    def close(self) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None

    def _name(self, target: str) -> str:
        return os.path.relpath(target, self._folder)


def answers_in(folder: str) -> dict[str, int]:
    """Return the answers in a folder that was OUT: their sizes, by their paths below it."""
    found = {}
    for line in _lines(Path(folder, DONE_FILE)):
        try:
            found[str(line["answer"])] = int(line["bytes"])
        except (ValueError, LookupError, TypeError):
            continue
    return found


def _lines(file: Path) -> Iterator[Any]:
    """Yield what the lines hold; a file that is not there has none."""
    try:
        with file.open("rb") as lines:
            for line in lines:
                with suppress(ValueError):
                    yield json.loads(line)
    except FileNotFoundError:
        return


def _made_of(photo: str, options: Mapping[str, str], model: str) -> bytes:
    return hashlib.sha256(json.dumps([photo, options, model], sort_keys=True).encode()).digest()[
        :16
    ]
