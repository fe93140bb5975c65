"""Planned photos in; each is read, sent and its answer written, several at a time; outcomes out.

Called by `service.cli.segment`.
"""

import asyncio
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from threading import Thread
from typing import TypeVar

from aiohttp import ClientSession

from service.client.errors import AllRefusedError, PhotoFailedError, ServerUnreachableError
from service.client.files import PhotoJob, read_photo, wants_jpeg
from service.client.http import ANYTHING, Query, Server, open_session, post_photo
from service.client.write import is_stream, write_answer

Result = TypeVar("Result")


@dataclass(frozen=True, slots=True)
class PhotoOutcome:
    """A photo whose answer was written, or the error that prevented it."""

    job: PhotoJob
    error: Exception | None = None


async def segment_all(
    plan: Sequence[PhotoJob],
    server: Server,
    query: Query,
    *,
    parallel: int = 4,
    on_done: Callable[[PhotoOutcome], None] = lambda _outcome: None,
) -> list[PhotoOutcome]:
    """Return the outcomes in the order in which photos finish; fewer where the server refuses all.

    At most `parallel` photos are in memory at a time.
    """
    waiting = iter(plan)
    outcomes: list[PhotoOutcome] = []

    async with open_session(server, parallel, query.timeout_ms) as session:

        async def work() -> None:
            nonlocal waiting
            while job := next(waiting, None):
                outcome = PhotoOutcome(job, await _segment_one(session, server.url, query, job))
                outcomes.append(outcome)
                on_done(outcome)
                if isinstance(outcome.error, ServerUnreachableError | AllRefusedError):
                    waiting = iter(())

        await asyncio.gather(*(work() for _ in range(min(parallel, len(plan)))))
    return outcomes


async def _segment_one(
    session: ClientSession, url: str, query: Query, job: PhotoJob
) -> Exception | None:
    """Read, send, write; returns the error, if any."""
    accept = "image/jpeg" if wants_jpeg(job) else ANYTHING
    try:
        photo = await _in_daemon_thread(lambda: read_photo(job))
        answer = await post_photo(session, url, photo, query, accept)
        if job.target is None or is_stream(job.target):
            await _in_daemon_thread(lambda: write_answer(job.target, answer))
        else:
            await asyncio.to_thread(write_answer, job.target, answer)
    except (OSError, PhotoFailedError, ServerUnreachableError) as error:
        return error
    return None


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
