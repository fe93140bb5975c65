"""Runs suspects so that they end no process that has other work, and refuses those that crash.

First they are decoded in a process of their own, where a decoder that crashes harms nothing else
(`handlers.isolation.isolated_decode`). Those that were in work when a process ended then run in
this process, one at a time. Images that are known to end processes do not run at all. Called by
`handlers.isolation.crash_isolation`.
"""

import time
from collections.abc import Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path

from handlers.isolation.isolated_decode import DecodeTask, decode_isolated
from handlers.isolation.suspects import REFUSED_AFTER, DeathRecord, SuspectRegistry
from handlers.isolation.time_limits import TimeLimits
from handlers.job import Job, Jobs
from handlers.shared.errors import ProblemError
from handlers.shared.flight_recorder import FlightRecorder
from handlers.shared.flight_records import ActiveImage, Ending, ImageEntry

Refusals = dict[int, ProblemError | None]


@dataclass(frozen=True, slots=True)
class Suspect:
    """An image that was in work when a process ended: in the registry (`is_registered`), or marked
    by the gateway only.
    """

    job: Job
    entry: ImageEntry  # in work with nothing beside it
    is_registered: bool


class Quarantine:
    """Splits batches by the registry of suspects."""

    def __init__(self, folder: Path, recorder: FlightRecorder) -> None:
        """Take the folder that all worker processes of a model share, and this one's record."""
        self._recorder = recorder
        self._registry = SuspectRegistry(folder)
        self._registry.collect(recorder.path)
        self._thread = ThreadPoolExecutor(1, "isolated_decode")

    def close(self) -> None:
        self._thread.shutdown()

    def split(
        self, images: Jobs, entries: Mapping[int, ImageEntry]
    ) -> tuple[dict[int, Job | ProblemError], dict[int, Suspect]]:
        """Split the images that run together, or are refused, from the suspects."""
        self._registry.collect(self._recorder.path)
        known = self._registry.digests()
        together = dict(images)
        suspects: dict[int, Suspect] = {}
        for index, entry in entries.items():
            job = together[index]
            record = self._registry.find(entry.digest) if entry.digest.hex() in known else None
            if record and record.refusal:
                together[index] = record.refusal
            elif isinstance(job, Job) and (record or job.options.suspect):
                isolated = replace(entry, isolated=True)
                suspects[index] = Suspect(job, isolated, is_registered=record is not None)
                del together[index]
        return together, suspects

    def run_later(
        self, suspects: Mapping[int, Suspect], limits: TimeLimits, deadline: float
    ) -> Iterator[Jobs]:
        """Begin to decode suspects in isolation; what comes out runs after the other images."""
        if not suspects:
            return iter(())
        refusals = self._thread.submit(self._decode_all, suspects, limits)
        return self._later(suspects, refusals, limits, deadline)

    def _later(
        self,
        suspects: Mapping[int, Suspect],
        decoding: "Future[Refusals]",
        limits: TimeLimits,
        deadline: float,
    ) -> Iterator[Jobs]:
        """Yield what isolated decoding has cleared or refused, and then the registered suspects,
        one at a time; one that has run in isolation is no suspect any more.
        """
        refusals = decoding.result()
        yield {
            index: refusals[index] or suspect.job
            for index, suspect in suspects.items()
            if refusals[index] or not suspect.is_registered
        }
        for index, suspect in suspects.items():
            if suspect.is_registered and not refusals[index]:
                cpu_s = limits.cpu_s([suspect.job])
                has_time = deadline - time.monotonic() > max(limits.suspect_clock_s, cpu_s)
                self._recorder.note(index, suspect.entry, cpu_s if has_time else 0.0)
                self._recorder.limit_cpu(cpu_s)
                yield {index: suspect.job}
                self._registry.clear(suspect.entry.digest)

    def _decode_all(self, suspects: Mapping[int, Suspect], limits: TimeLimits) -> Refusals:
        """Decode suspects in isolation; return each one's refusal, if there is one. Each death is
        noted at once: should this process end meanwhile, the next one has the note.
        """
        tasks = [task_of(suspect.job, limits) for suspect in suspects.values()]
        endings = decode_isolated(tasks, limits.suspect_clock_s)
        return {
            index: self._refusal(ending, suspect, limits)
            for (index, suspect), ending in zip(suspects.items(), endings, strict=True)
        }

    def _refusal(
        self, ending: Ending | None, suspect: Suspect, limits: TimeLimits
    ) -> ProblemError | None:
        """Repeat a decoding whose end proves nothing; return the refusal, if there is one."""
        active = ActiveImage(suspect.entry, limits.cpu_s([suspect.job]))
        for _ in range(max(REFUSED_AFTER.values())):
            if ending is None:
                return None
            if refusal := self._registry.note(active, ending).refusal:
                return refusal
            (ending,) = decode_isolated([task_of(suspect.job, limits)], limits.suspect_clock_s)
        # on a full disk nothing can be noted: the deaths that were seen count all the same
        killed = REFUSED_AFTER["killed"]
        return DeathRecord(time.monotonic(), killed, killed=killed).refusal if ending else None


def task_of(job: Job, limits: TimeLimits) -> DecodeTask:
    return DecodeTask(job.body, job.options.orientation, limits.decode_cpu_s(job))
