"""The images that worker processes have died on: which are suspects, and which are refused.

A process that has died leaves a record of what it was working on
(`handlers.shared.flight_recorder`); whichever process sees it first makes these images suspects. A
suspect is worked on alone (`handlers.isolation.guard`), so if a process dies on it again, that
image is the cause, whatever was sent beside it. A process that was killed from outside says nothing
of why, so that has to happen twice.

One small file an image, by its digest, in a folder that all processes of a model share.
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
from handlers.shared.flight_recorder import Active, Ending, Flight, take_ended

EXPIRES_S = 3600.0
MOST_SUSPECTS = 1000
# deaths with nothing else in work after which an image is refused
CONVICTING: Mapping[Ending, int] = {"crashed": 1, "killed": 2, "out_of_time": 1, "stalled": 2}

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Suspicion:
    """What is held against an image: deaths while it was worked on, and those with it alone."""

    noted_s: float  # CLOCK_MONOTONIC
    deaths: int = 0
    crashed: int = 0
    killed: int = 0
    out_of_time: int = 0
    stalled: int = 0
    allowed_s: float = 0.0

    @property
    def deaths_alone(self) -> int:
        return self.crashed + self.killed + self.out_of_time + self.stalled

    @property
    def verdict(self) -> ProblemError | None:
        """Tell why the image is refused; None while there is no proof."""
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
        return count >= CONVICTING[ending]


class Suspects:
    """The registry of a model's worker processes."""

    def __init__(self, flights: Path) -> None:
        """Take the folder of the processes' records; the registry lies in it."""
        self._flights = flights
        self._folder = flights / "suspects"
        self._folder.mkdir(exist_ok=True)
        self._lock = flights / "suspects.lock"
        self._lock.touch()  # here, where there may be no room for it

    def collect(self, own: Path) -> None:
        """Make suspects of the images that processes have died on since the last look; `own`
        is this process's record.
        """
        for flight in take_ended(self._flights, str(own)):
            log_death(flight)
            for active in flight.active:
                self.note(active, flight.ending)

    def known(self) -> frozenset[str]:
        """Name the digests that anything is held against."""
        try:
            with os.scandir(self._folder) as entries:
                return frozenset(entry.name for entry in entries)
        except OSError:
            return frozenset()  # a cleaner of temporary folders has removed it

    def find(self, digest: bytes) -> Suspicion | None:
        """Tell what is held against an image; it is forgotten in time."""
        try:
            found = Suspicion(**json.loads((self._folder / digest.hex()).read_text()))
        except (OSError, ValueError, TypeError):
            return None
        return found if time.monotonic() - found.noted_s < EXPIRES_S else None

    def note(self, active: Active, ending: Ending) -> Suspicion:
        """Hold a death against an image that was being worked on; alone, if it had its time."""
        digest = active.entry.digest
        counts = active.entry.alone and (ending in {"crashed", "killed"} or active.allowed_s > 0)
        with self._locked():
            before = self.find(digest) or Suspicion(0.0)
            after = replace(
                before,
                noted_s=time.monotonic(),
                deaths=before.deaths + 1,
                allowed_s=active.allowed_s,
                **{ending: getattr(before, ending) + counts},
            )
            self._write(digest, after)
            self._forget_the_oldest()
        return after

    def clear(self, digest: bytes) -> None:
        """Forget an image that has been through, alone, without harm."""
        with self._locked():
            (self._folder / digest.hex()).unlink(missing_ok=True)

    @contextmanager
    def _locked(self) -> Iterator[None]:
        with ExitStack() as stack:
            with suppress(OSError):
                fcntl.flock(stack.enter_context(self._lock.open("w")), fcntl.LOCK_EX)
            yield

    def _write(self, digest: bytes, suspicion: Suspicion) -> None:
        """Write whole or not at all; on a full disk the image stays a suspect by hearsay only."""
        new = self._flights / f"{digest.hex()}.{os.getpid()}"
        with suppress(OSError):
            new.write_text(json.dumps(asdict(suspicion)))
            new.rename(self._folder / digest.hex())

    def _forget_the_oldest(self) -> None:
        known = [self._folder / name for name in self.known()]
        with suppress(OSError):
            for path in sorted(known, key=lambda path: path.stat().st_mtime_ns)[:-MOST_SUSPECTS]:
                path.unlink(missing_ok=True)


def log_death(flight: Flight) -> None:
    """Tell the operator what a process died of, and on whose requests."""
    how = {
        "crashed": "crashed",
        "killed": "was killed",
        "out_of_time": "took more CPU time than its batch may and ended",
        "stalled": "took more time than TorchServe gives a batch and ended itself",
    }[flight.ending]
    ids = [active.entry.request_id for active in flight.active]
    trace = " | ".join(flight.trace.splitlines())
    logger.error(
        "a worker process %s while it worked on %d images",
        how,
        len(ids),
        extra=with_fields(process=flight.pid, request_ids=ids, trace=trace[:2000]),
    )
