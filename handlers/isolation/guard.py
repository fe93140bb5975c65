"""Keeps images that end their worker process from ending the next one, and others' work with it.

A batch comes in; out come the images that are worked on together, and then those that a process may
have died on before. These are first decoded in a process of their own, where a decoder that crashes
harms nothing else (`handlers.isolation.trial_decode`); what was being worked on when a process died
then runs with nothing beside it. Images that are known to end processes are not worked on at all.
Called by `handlers.pipeline`.
"""

import hashlib
import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ParamSpec, TypeVar

from handlers.isolation.suspects import CONVICTING, Suspects, Suspicion
from handlers.isolation.trial_decode import Tried, decode_apart
from handlers.job import Job
from handlers.shared.errors import ProblemError
from handlers.shared.flight_recorder import Active, Ending, Entry, FlightRecorder
from handlers.stages.share import Jobs

# of TorchServe's patience with a batch: beyond it the worker would be killed without a word
CLOCK_SHARE = 0.8
# of that, for trials, or for one suspect: with less it is not refused for slowness
SUSPECT_SHARE = 0.4
# beyond what is predicted, and times that; rates are measured in an instant, on small pictures
SPARE_CPU_S = 4.0
CPU_MARGIN = 3.0

P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class TimeLimits:
    """How long a batch may take: seconds of the clock, and CPU seconds by what is predicted.

    CPU time tells an image that takes too long from a machine that has other things to do.
    """

    clock_s: float
    threads: int = 1  # that a pass keeps busy
    spare_cpu_s: float = SPARE_CPU_S

    @classmethod
    def of(cls, response_timeout_s: float, threads: int) -> "TimeLimits":
        """Leave TorchServe's own limit for what keeps this process from ending itself."""
        return cls(CLOCK_SHARE * response_timeout_s, threads)

    @property
    def suspect_clock_s(self) -> float:
        """Seconds of the clock without which a suspect has not had its time."""
        return SUSPECT_SHARE * self.clock_s

    def cpu_s(self, jobs: Iterable[Job | ProblemError]) -> float:
        """CPU seconds for so many images, of all threads together."""
        predicted_s = sum(job.options.cost_s for job in jobs if isinstance(job, Job))
        return self.threads * (self.spare_cpu_s + CPU_MARGIN * predicted_s)


@dataclass(frozen=True, slots=True)
class Batch:
    """What is worked on together, and what after that; a refused image's job is its problem."""

    together: Jobs
    later: Iterator[Jobs]


@dataclass(frozen=True, slots=True)
class Suspect:
    """An image that a process has died with; on record where it was being worked on then."""

    job: Job
    is_recorded: bool


class Guard:
    """Lets everything through, for want of a place to record anything in."""

    @staticmethod
    def at(folder: Path | None) -> "Guard":
        """Record in `folder`, if there is one and room in it."""
        if folder is None:
            return Guard()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            return RecordingGuard(folder)
        except OSError as error:
            logger.warning("images that end this worker will not be recognised: %s", error)
            return Guard()

    @contextmanager
    def batch(self, images: Jobs, limits: TimeLimits) -> Iterator[Batch]:  # noqa: ARG002 - others look at it
        """Sort a batch, and watch over it for as long as the block runs."""
        yield Batch(images, iter(()))

    def run(
        self,
        places: Iterable[int],  # noqa: ARG002 - others look at it
        stage: Callable[P, T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T:
        """Run a stage on the images at `places`."""
        return stage(*args, **kwargs)

    def catch_crashes(self) -> None:
        """Have this process, should it crash, tell its successor so."""

    def close(self) -> None:
        """Leave nothing behind."""


class RecordingGuard(Guard):
    """Records what this process works on, and has learned from those that died."""

    def __init__(self, folder: Path) -> None:
        """Take the folder that all worker processes of a model share; raises OSError."""
        self._recorder = FlightRecorder(folder)
        self._suspects = Suspects(folder)
        self._suspects.collect(self._recorder.path)
        self._trials = ThreadPoolExecutor(1, "trial")

    @contextmanager
    def batch(self, images: Jobs, limits: TimeLimits) -> Iterator[Batch]:
        """Sort a batch; this process ends if the block takes longer than it may."""
        deadline = time.monotonic() + limits.clock_s
        entries = {
            place: Entry(digest_of(job), job.request_id)
            for place, job in images.items()
            if isinstance(job, Job)
        }
        self._recorder.begin(entries, limits.clock_s, limits.cpu_s(images.values()))
        try:
            together, suspects = self._sort(images, entries)
            verdicts = self._trials.submit(self._try, suspects, entries, limits)
            yield Batch(together, self._later(suspects, entries, verdicts, limits, deadline))
        finally:
            self._recorder.end()

    def run(
        self, places: Iterable[int], stage: Callable[P, T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run a stage, on record."""
        return self._recorder.run(places, stage, *args, **kwargs)

    def catch_crashes(self) -> None:
        """Have this process, should it crash, tell its successor so."""
        self._recorder.catch_crashes()

    def close(self) -> None:
        """Leave nothing behind."""
        self._trials.shutdown()
        self._recorder.close()

    def _sort(
        self, images: Jobs, entries: Mapping[int, Entry]
    ) -> tuple[dict[int, Job | ProblemError], dict[int, Suspect]]:
        """Part what may be worked on together, or is refused, from the suspects."""
        self._suspects.collect(self._recorder.path)
        known = self._suspects.known()
        together = dict(images)
        suspects: dict[int, Suspect] = {}
        for place, entry in entries.items():
            job = together[place]
            held = self._suspects.find(entry.digest) if entry.digest.hex() in known else None
            if held and held.verdict:
                together[place] = held.verdict
            elif isinstance(job, Job) and (held or job.options.suspect):
                suspects[place] = Suspect(job, is_recorded=held is not None)
                del together[place]
        return together, suspects

    def _later(
        self,
        suspects: Mapping[int, Suspect],
        entries: Mapping[int, Entry],
        tried: "Future[dict[int, ProblemError | None]]",
        limits: TimeLimits,
        deadline: float,
    ) -> Iterator[Jobs]:
        """Give what the trials have cleared or refused, and then, one at a time, what processes
        have died on; an image that has been through alone is no suspect any more.
        """
        if not suspects:
            return
        verdicts = tried.result()
        yield {
            place: verdicts[place] or suspect.job
            for place, suspect in suspects.items()
            if verdicts[place] or not suspect.is_recorded
        }
        for place, suspect in suspects.items():
            if suspect.is_recorded and not verdicts[place]:
                cpu_s = limits.cpu_s([suspect.job])
                has_time = deadline - time.monotonic() > max(limits.suspect_clock_s, cpu_s)
                self._recorder.hold(place, alone(entries[place]), cpu_s if has_time else 0.0)
                self._recorder.allow(cpu_s)
                yield {place: suspect.job}
                self._suspects.clear(entries[place].digest)

    def _try(
        self, suspects: Mapping[int, Suspect], entries: Mapping[int, Entry], limits: TimeLimits
    ) -> dict[int, ProblemError | None]:
        """Decode suspects apart; tell why each is refused, if it is. Each death is noted at once:
        should this process come to its end meanwhile, the next one knows the more.
        """
        endings = decode_apart(
            [tried(suspect.job, limits) for suspect in suspects.values()], limits.suspect_clock_s
        )
        return {
            place: self._verdict(ending, suspect.job, alone(entries[place]), limits)
            for (place, suspect), ending in zip(suspects.items(), endings, strict=True)
        }

    def _verdict(
        self, ending: Ending | None, job: Job, entry: Entry, limits: TimeLimits
    ) -> ProblemError | None:
        """Repeat a trial that proves nothing; tell why the image is refused, if it is."""
        active = Active(entry, limits.cpu_s([job]))
        for _ in range(max(CONVICTING.values())):
            if ending is None:
                return None
            if verdict := self._suspects.note(active, ending).verdict:
                return verdict
            (ending,) = decode_apart([tried(job, limits)], limits.suspect_clock_s)
        # nothing can be noted, for want of room: what it says holds all the same
        killed = CONVICTING["killed"]
        return Suspicion(time.monotonic(), killed, killed=killed).verdict if ending else None


def alone(entry: Entry) -> Entry:
    return replace(entry, alone=True)


def tried(job: Job, limits: TimeLimits) -> Tried:
    """Have an image decoded in the CPU time that one thread may take for it."""
    return Tried(job.body, job.options.orientation, replace(limits, threads=1).cpu_s([job]))


def digest_of(job: Job) -> bytes:
    """Name an image together with what is wanted of it."""
    options = job.options.model_dump_json(include={"output", "orientation", "max_side"})
    digest = hashlib.sha256(options.encode())
    digest.update(job.body)
    return digest.digest()
