"""The registry of suspects: images that were in work when worker processes ended.

A process that has ended leaves a record of what it was working on
(`handlers.shared.flight_records`); the first process that reads it registers these images. A
suspect then runs in isolation, so if a process ends on it again, that image is the cause, whatever
was sent with it, and it is refused. A process that was killed from outside shows nothing of the
cause, so that has to happen twice.

One small file an image, by its digest, in a folder that all processes of a model share. Called by
`handlers.isolation.quarantine`.
"""

import fcntl
import json
import logging
import os
import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from handlers.log import with_fields
from handlers.shared.errors import ImageCrashesWorkerError, ImageTakesTooLongError, ProblemError
from handlers.shared.flight_records import ActiveImage, EndedProcess, Ending, take_ended

EXPIRES_S = 3600.0
MOST_SUSPECTS = 1000
# deaths of processes that had nothing else in work
REFUSED_AFTER: Mapping[Ending, int] = {"crashed": 1, "killed": 2, "out_of_time": 1, "stalled": 2}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class DeathRecord:
    """How often processes ended with an image in work, and how those ended that had no other."""

    noted_s: float  # CLOCK_MONOTONIC
    deaths: int = 0
    crashed: int = 0
    killed: int = 0
    out_of_time: int = 0
    stalled: int = 0
    allowed_s: float = 0.0

    @property
    def refusal(self) -> ProblemError | None:
        """The problem with which the image is refused; None while there is no proof."""
        if self._proves("crashed") or self._proves("killed"):
            return ImageCrashesWorkerError(
                f"processes that worked on this image ended ({self.deaths} so far), the last one "
                "with nothing beside it; save it again with another program, or send it smaller"
            )
        if self._proves("out_of_time") or self._proves("stalled"):
            return ImageTakesTooLongError(
                f"this image took more than the {self.allowed_s:.3g} CPU seconds that it may, or "
                "never came to its end, with nothing beside it; send it smaller, with a smaller "
                "max_side, or saved in another format"
            )
        return None

    def _proves(self, ending: Ending) -> bool:
        count: int = getattr(self, ending)
        return count >= REFUSED_AFTER[ending]


class SuspectRegistry:
    """The suspects of all worker processes of a model."""

    def __init__(self, records: Path) -> None:
        """Take the folder of the processes' records; the registry is a folder in it."""
        self._records = records
        self._folder = records / "suspects"
        self._folder.mkdir(exist_ok=True)
        self._lock = records / "suspects.lock"
        self._lock.touch()  # now: a full disk is found at the start

    def collect(self, own: Path) -> None:
        """Register the images that processes have ended on since the last call; `own` is this
        process's record.
        """
        for ended in take_ended(self._records, str(own)):
            log_death(ended)
            for active in ended.active:
                self.note(active, ended.ending)

    def digests(self) -> frozenset[str]:
        """List the digests of all suspects, in hexadecimal."""
        try:
            with os.scandir(self._folder) as entries:
                return frozenset(entry.name for entry in entries)
        except OSError:
            return frozenset()  # a cleaner of temporary folders has removed it

    def find(self, digest: bytes) -> DeathRecord | None:
        """Return the record of a suspect; it expires in time."""
        try:
            record = DeathRecord(**json.loads((self._folder / digest.hex()).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return record if time.monotonic() - record.noted_s < EXPIRES_S else None

    def note(self, active: ActiveImage, ending: Ending) -> DeathRecord:
        """Count a death of a process with an image in work; as proof, where it had no other work
        and the image had its time.
        """
        digest = active.entry.digest
        had_its_time = ending in {"crashed", "killed"} or active.allowed_s > 0
        with self._locked():
            before = self.find(digest) or DeathRecord(0.0)
            after = replace(
                before,
                noted_s=time.monotonic(),
                deaths=before.deaths + 1,
                allowed_s=active.allowed_s,
                **{ending: getattr(before, ending) + (active.entry.isolated and had_its_time)},
            )
            self._write(digest, after)
            self._forget_the_oldest()
        return after

    def clear(self, digest: bytes) -> None:
        """Remove an image that has run in isolation without harm."""
        with self._locked():
            (self._folder / digest.hex()).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            with suppress(OSError):
                fcntl.flock(stack.enter_context(self._lock.open("w")), fcntl.LOCK_EX)
            yield

    def _write(self, digest: bytes, record: DeathRecord) -> None:
        """Write atomically; on a full disk the image stays a suspect only where the gateway marks
        it as one.
        """
        new = self._records / f"{digest.hex()}.{os.getpid()}"
        with suppress(OSError):
            new.write_text(json.dumps(asdict(record)))
            new.rename(self._folder / digest.hex())

    def _forget_the_oldest(self) -> None:
        paths = [self._folder / name for name in self.digests()]
        with suppress(OSError):
            for path in sorted(paths, key=lambda path: path.stat().st_mtime_ns)[:-MOST_SUSPECTS]:
                path.unlink(missing_ok=True)


def log_death(ended: EndedProcess) -> None:
    """Log how a process ended, and the requests that it was working on."""
    how = {
        "crashed": "crashed",
        "killed": "was killed",
        "out_of_time": "took more CPU time than its batch may and ended",
        "stalled": "took more time than TorchServe gives a batch and ended itself",
    }[ended.ending]
    ids = [active.entry.request_id for active in ended.active]
    trace = " | ".join(ended.trace.splitlines())
    logger.error(
        "a worker process %s while it worked on %d images",
        how,
        len(ids),
        extra=with_fields(process=ended.pid, request_ids=ids, trace=trace[:2000]),
    )
