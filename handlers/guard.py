"""Keeps images that end their worker process from ending the next one, and others' work with it.

A batch comes in; out come the images that are worked on together, and then, one by one, those that
a process has died on before. Each of these is first decoded in a process of its own, where a
decoder that crashes harms nothing else (`handlers.trial`), and then worked on with nothing beside
it. Those that are known to end processes are not worked on at all. Called by `handlers.pipeline`.
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

from handlers.errors import ProblemError
from handlers.flight_recorder import Active, Ending, Entry, FlightRecorder
from handlers.job import Job
from handlers.suspects import CONVICTING, Suspects, Suspicion
from handlers.trial import decode_apart

# of TorchServe's patience with a batch: beyond it the worker would be killed without a word
LIMIT_SHARE = 0.8
# of a batch's seconds, for one suspect: with less than that it is not refused for slowness
SUSPECT_SHARE = 0.5
# tried at a time: each takes memory for a whole photo
TRIALS = 2

Jobs = Mapping[int, Job | ProblemError]  # by their place in the batch
P = ParamSpec("P")
T = TypeVar("T")

logger = logging.getLogger(__name__)


def batch_limit_s(response_timeout_s: float) -> float:
    """Seconds after which a batch has run out of time."""
    return LIMIT_SHARE * response_timeout_s


@dataclass(frozen=True, slots=True)
class Batch:
    """What is worked on together, and what alone; a refused image's job is its problem."""

    together: Jobs
    alone: Iterator[Jobs]


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
    def batch(self, images: Jobs, limit_s: float) -> Iterator[Batch]:  # noqa: ARG002 - others look at it
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
        self._trials = ThreadPoolExecutor(TRIALS, "trial")

    @contextmanager
    def batch(self, images: Jobs, limit_s: float) -> Iterator[Batch]:
        """Sort a batch; this process ends if the block takes longer than `limit_s`."""
        deadline = time.monotonic() + limit_s
        entries = {
            place: Entry(digest_of(job), job.request_id)
            for place, job in images.items()
            if isinstance(job, Job)
        }
        self._recorder.begin(entries, limit_s)
        try:
            together, suspects = self._sort(images, entries)
            yield Batch(together, self._alone(suspects, entries, deadline, limit_s))
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
    ) -> tuple[dict[int, Job | ProblemError], dict[int, Job]]:
        """Part what may be worked on together, or is refused, from the suspects."""
        self._suspects.collect(self._recorder.path)
        known = self._suspects.known()
        together, suspects = dict(images), {}
        for place, entry in entries.items():
            job = together[place]
            held = self._suspects.find(entry.digest) if entry.digest.hex() in known else None
            if held and held.verdict:
                together[place] = held.verdict
            elif isinstance(job, Job) and (held or job.options.suspect):
                suspects[place] = job
                del together[place]
        return together, suspects

    def _alone(
        self,
        suspects: Mapping[int, Job],
        entries: Mapping[int, Entry],
        deadline: float,
        limit_s: float,
    ) -> Iterator[Jobs]:
        """Give one suspect at a time; an image that has been through is none any more."""
        allowed_s = SUSPECT_SHARE * limit_s
        trials = {
            place: self._trials.submit(decode_apart, job.body, job.options.orientation, allowed_s)
            for place, job in suspects.items()
        }
        for place, job in suspects.items():
            entry = replace(entries[place], alone=True)
            if verdict := self._try(trials[place], job, Active(entry, allowed_s)):
                yield {place: verdict}
                continue
            left_s = deadline - time.monotonic()
            self._recorder.hold(place, entry, left_s if left_s > allowed_s else 0.0)
            yield {place: job}
            self._suspects.clear(entry.digest)

    def _try(self, trial: "Future[Ending | None]", job: Job, active: Active) -> ProblemError | None:
        """Wait for an image's trial, and repeat one that was killed from outside; tell why the
        image is refused, if it is.
        """
        ending = trial.result()
        for _ in range(CONVICTING["killed"]):
            if ending is None:
                return None
            if verdict := self._suspects.note(active, ending).verdict:
                return verdict
            ending = decode_apart(job.body, job.options.orientation, active.allowed_s)
        # nothing can be noted, for want of room: what it says holds all the same
        killed = CONVICTING["killed"]
        return Suspicion(time.monotonic(), killed, killed=killed).verdict if ending else None


def digest_of(job: Job) -> bytes:
    """Name an image together with what is wanted of it."""
    options = job.options.model_dump_json(exclude={"request_id", "suspect"})
    digest = hashlib.sha256(options.encode())
    digest.update(job.body)
    return digest.digest()
