"""Keeps an image that ends its worker process from ending the next one, and its batch with it.

A batch comes in; out come the images that run together, and after them, one at a time, suspects
that a process may have ended on before (`handlers.isolation.quarantine`). What is in work is on
record (`handlers.shared.flight_recorder`) for the processes after this one. Made by
`handlers.entry`, called by `handlers.pipeline`.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import ParamSpec, TypeVar

from handlers.isolation.quarantine import Quarantine
from handlers.isolation.time_limits import TimeLimits
from handlers.job import Job, Jobs
from handlers.shared.flight_recorder import FlightRecorder
from handlers.shared.flight_records import ImageEntry

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class IsolatedBatch:
    """The images that run together, and those that run after them; a refused image's job is its
    problem.
    """

    together: Jobs
    later: Iterator[Jobs]


class CrashIsolation:
    """Runs all images together, for want of a folder for records."""

    @staticmethod
    def at(folder: Path | None) -> "CrashIsolation":
        """Keep records in `folder`, if there is one and space in it."""
        if folder is None:
            return CrashIsolation()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return RecordedIsolation(folder)
        except OSError as error:
            logger.warning("images that end this worker will not be recognised: %s", error)
            return CrashIsolation()

    @contextmanager
    def batch(self, images: Jobs, limits: TimeLimits) -> Iterator[IsolatedBatch]:  # noqa: ARG002 - used by the subclass
        """Split a batch, and hold it to its limits for as long as the block runs."""
        yield IsolatedBatch(images, iter(()))

    def run(
        self,
        indices: Iterable[int],  # noqa: ARG002 - used by the subclass
        stage: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a stage on the images at `indices` of the batch."""
        return stage(*args, **kwargs)

    def catch_crashes(self) -> None:
        """Have this process, should it crash, leave a trace for the next one."""

    def close(self) -> None:
        """Remove this process's records."""


class RecordedIsolation(CrashIsolation):
    """Records what this process works on, and reads the records of those that have ended."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that all worker processes of a model share; raises OSError."""
        self._recorder = FlightRecorder(folder)
        self._quarantine = Quarantine(folder, self._recorder)

    @contextmanager
    def batch(self, images: Jobs, limits: TimeLimits) -> Iterator[IsolatedBatch]:
        """Split a batch; this process ends if the block takes longer than it may."""
        deadline = time.monotonic() + limits.clock_s
        entries = {
            index: ImageEntry(digest_of(job), job.request_id)
            for index, job in images.items()
            if isinstance(job, Job)
        }
        self._recorder.begin(entries, limits.clock_s, limits.cpu_s(images.values()))
        try:
            together, suspects = self._quarantine.split(images, entries)
            later = self._quarantine.run_later(suspects, limits, deadline)
            yield IsolatedBatch(together, later)
        finally:
            self._recorder.end()

    def run(
        self, indices: Iterable[int], stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a stage, on record."""
        return self._recorder.run(indices, stage, *args, **kwargs)

    def catch_crashes(self) -> None:
        """Have this process, should it crash, leave a trace for the next one."""
        self._recorder.catch_crashes()

    def close(self) -> None:
        """Remove this process's records."""
        self._quarantine.close()
        self._recorder.close()


def digest_of(job: Job) -> bytes:
    """Identify an image together with the options that its work depends on."""
    options = job.options
    digest = hashlib.sha256(f"{options.output} {options.orientation} {options.max_side} ".encode())
    digest.update(job.body)
    return digest.digest()
