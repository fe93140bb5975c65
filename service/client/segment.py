"""Planned photos in; each is read, sent and its answer written, several at a time; outcomes out.

`service.client.exchange` sends them. Called by `service.cli.segment_run`.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from threading import Thread
from typing import Literal, TypeVar

from fcnserve_client import Rendered
from service.client.dataset import Dataset
from service.client.done import DoneAnswers, photo_digest
from service.client.errors import FAILURES, is_about_all
from service.client.files import PhotoJob, Plan, read_photo, wants_jpeg
from service.client.shares import Shares
from service.client.write import is_stream, write_answer

Result = TypeVar("Result")


Send = Callable[[bytes, str | None], Awaitable[Rendered]]
"""Sends a photo, and the media type if not the output's first; raises FcnserveError."""


@dataclass(frozen=True, slots=True)
class PhotoOutcome:
    """What became of a photo. `seconds` counts from reading it until its answer is written."""

    job: PhotoJob
    status: Literal["done", "skipped", "failed"]
    seconds: float = 0.0
    error: Exception | None = None
    model: str | None = None
    request_id: str | None = None
    shares: Shares | None = None


@dataclass(frozen=True, slots=True)
class Run:
    """How photos are sent, and what is kept of the answers.

    `done` records the answers in a folder; those by the model `skipped_model` are not made again.
    `shares_of` reads the shares of the classes in an answer; a `dataset` is written of the answers,
    rather than the answers themselves.
    """

    send: Send
    done: DoneAnswers | None = None
    skipped_model: str | None = None
    shares_of: Callable[[Rendered], Shares | None] | None = None
    dataset: Dataset | None = None


async def segment_all(
    plan: Plan, run: Run, on_done: Callable[[PhotoOutcome], None], *, parallel: int = 4
) -> None:
    """Report each photo's outcome as it finishes; ends early where the server refuses all.

    At most `parallel` photos are in memory at a time.
    """
    waiting = iter(plan.jobs)

    async def work() -> None:
        nonlocal waiting
        while job := next(waiting, None):
            outcome = await _segment_one(run, job)
            on_done(outcome)
            if is_about_all(outcome.error):
                waiting = iter(())

    await asyncio.gather(*(work() for _ in range(min(parallel, len(plan.jobs)))))


async def _segment_one(run: Run, job: PhotoJob) -> PhotoOutcome:
    """Read, send, write; a photo's failure is its outcome."""
    started = time.perf_counter()
    try:
        photo = await _in_daemon_thread(lambda: read_photo(job))
        digest = await asyncio.to_thread(photo_digest, photo) if run.done else ""
        if await asyncio.to_thread(_is_there, run, job, digest):
            model, seconds = run.skipped_model, time.perf_counter() - started
            return PhotoOutcome(job, "skipped", seconds, model=model)
        answer = await run.send(photo, "image/jpeg" if wants_jpeg(job) else None)
        size = await _write(run.dataset, job, photo, answer)
        shares = await asyncio.to_thread(_keep, run, job, digest, answer, size)
    except FAILURES as error:
        return PhotoOutcome(job, "failed", time.perf_counter() - started, error)
    seconds = time.perf_counter() - started
    return PhotoOutcome(job, "done", seconds, None, answer.model, answer.request_id, shares)


def _is_there(run: Run, job: PhotoJob, digest: str) -> bool:
    """Return whether the answer of an earlier run is there."""
    if run.done is None or run.skipped_model is None or job.target is None:
        return False
    return run.done.holds(job.target, digest, run.skipped_model)


async def _write(dataset: Dataset | None, job: PhotoJob, photo: bytes, answer: Rendered) -> int:
    """Write the target, and return its size."""
    target, body = None if job.target is None else Path(job.target), answer.body
    if dataset is not None:
        return await asyncio.to_thread(dataset.add, job, photo, answer)
    if target is None or is_stream(target):
        await _in_daemon_thread(lambda: write_answer(target, body))
    else:
        await asyncio.to_thread(write_answer, target, body)
    return len(body)


def _keep(run: Run, job: PhotoJob, digest: str, answer: Rendered, size: int) -> Shares | None:
    """Record an answer that is written, and read the shares of its classes."""
    if run.done is not None and job.target is not None:
        run.done.add(job.target, digest, answer.model, size)
    return run.shares_of(answer) if run.shares_of else None


async def _in_daemon_thread(work: Callable[[], Result]) -> Result:
    """Run in a thread for which Ctrl-C does not wait: a stream may block for ever."""
    result: Future[Result] = Future()
    result.set_running_or_notify_cancel()

    def run() -> None:
        try:
            result.set_result(work())
        except BaseException as error:  # noqa: BLE001 - raised again where the result is awaited
            result.set_exception(error)

    Thread(target=run, daemon=True).start()
    return await asyncio.wrap_future(result)
