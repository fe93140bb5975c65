"""The stage of workers: 1, 2, 3 and 4 processes with TorchServe's handler, and this in its place.

Requests are what a gateway sends: several photos in one body. A worker gets the next as soon as it
has answered, so all the time but the handler's is left out. All processes are loaded first, at the
same time, as TorchServe does it.
"""

import os
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path

from handlers.entry import FcnHandler
from handlers.shared.sections import split_sections, with_lengths
from handlers.shared.wire import ANSWER_SECTIONS, IMAGES_MEDIA_TYPE
from loadtest.gpu_check.catalogue import Scale
from loadtest.gpu_check.networks import MODEL, limit_warm_up
from loadtest.gpu_check.pipeline import jobs_of, sampled_use
from loadtest.gpu_check.results import Check, Fact, Item, Row

THREADS = "FCNSERVE_THREADS"
NO_OPTIONS = b"{}"


def run(scale: Scale) -> Iterator[Item]:
    """Yield a row for each number of processes that work at the same time."""
    # as for three workers, the number that a large GPU gets
    os.environ.setdefault(THREADS, str(max(2, len(os.sched_getaffinity(0)) // 3)))
    yield Fact("threads of a process", int(os.environ[THREADS]))
    started = time.perf_counter()
    with loaded_workers(max(scale.processes), scale) as workers:
        yield Fact("loading and warm-up of all at once, s", time.perf_counter() - started)
        photos = [bytes(job.body) for job in jobs_of(scale.sets[-1], scale)]
        alone, *others = answers_alone(workers, photos)
        differing = sum(
            mask != first for each in others for mask, first in zip(each, alone, strict=True)
        )
        for count in scale.processes:
            row = measured(workers[:count], photos, alone, scale)
            differing += int(row.cells["differing"] or 0)
            yield row
    claim = "each mask is the one that the photo gets alone, from any process"
    yield Check(claim, not differing, f"{differing} differ")


def answers_alone(workers: Sequence[Connection], photos: Sequence[bytes]) -> list[list[bytes]]:
    """Have each worker answer each photo alone, all of them at the same time."""

    def answer(worker: Connection) -> list[bytes]:
        return [mask for photo in photos for mask in ask(worker, [photo])]

    with ThreadPoolExecutor(len(workers)) as threads:
        return list(threads.map(answer, workers))


def measured(
    workers: Sequence[Connection], photos: Sequence[bytes], alone: Sequence[bytes], scale: Scale
) -> Row:
    started = time.perf_counter()
    until = started + scale.seconds

    def feed(worker: Connection) -> tuple[int, int]:
        """Send request after request; returns how many masks came, and how many differ."""
        masks = differing = first = 0
        while not masks or time.perf_counter() < until:
            indices = [(first + step) % len(photos) for step in range(scale.batch)]
            made = ask(worker, [photos[index] for index in indices])
            differing += sum(
                mask != alone[index] for mask, index in zip(made, indices, strict=True)
            )
            masks, first = masks + len(made), first + scale.batch - 1
        return masks, differing

    with sampled_use(scale) as used, ThreadPoolExecutor(len(workers)) as threads:
        counts = list(threads.map(feed, workers))
    masks, differing = (sum(each) for each in zip(*counts, strict=True))
    return Row(
        "Masks a second",
        {
            "processes": len(workers),
            "batch": scale.batch,
            "masks/s": masks / (time.perf_counter() - started),
            "GPU in use, %": sum(used) / len(used) if used else None,
            "differing": differing,
        },
    )


def ask(worker: Connection, photos: Sequence[bytes]) -> list[bytes]:
    """Send photos as one request; returns their answers."""
    sections = [section for photo in photos for section in (NO_OPTIONS, photo)]
    worker.send_bytes(b"".join(with_lengths(sections)))
    return [bytes(mask) for _, _, mask in split_sections(worker.recv_bytes(), ANSWER_SECTIONS)]


@contextmanager
def loaded_workers(count: int, scale: Scale) -> Iterator[list[Connection]]:
    """Start processes, and wait until each has loaded its model; raises EOFError for one that
    cannot, whose log has the reason.
    """
    context = get_context("spawn")
    pairs = [context.Pipe() for _ in range(count)]
    processes = [
        context.Process(target=serve, args=(theirs, scale), daemon=True) for _, theirs in pairs
    ]
    for process, (_, theirs) in zip(processes, pairs, strict=True):
        process.start()
        theirs.close()
    ours = [each for each, _ in pairs]
    try:
        for each in ours:
            each.recv()
        yield ours
    finally:
        for each in ours:
            each.close()
        for process in processes:
            process.join()


@dataclass
class HandlerContext:
    """The part of TorchServe's context that the handler uses, for one request at a time."""

    system_properties: dict[str, object]
    manifest: dict[str, dict[str, str]] = field(
        default_factory=lambda: {"model": {"modelName": MODEL.name}}
    )

    def get_request_header(self, idx: int, key: str) -> str | None:  # noqa: ARG002
        return IMAGES_MEDIA_TYPE if key == "Content-Type" else None

    def set_response_content_type(self, idx: int, value: str) -> None:
        """Do nothing: all requests are alike, and so are their answers."""

    def set_response_header(self, idx: int, key: str, value: str) -> None:
        """Do nothing."""


def serve(requests: Connection, scale: Scale) -> None:
    """Load the model, and answer requests until their connection is closed."""
    limit_warm_up(scale)
    gpu_id = 0 if scale.device == "cuda" else None
    context = HandlerContext({"model_dir": str(Path(MODEL)), "gpu_id": gpu_id})
    handler = FcnHandler()
    handler.initialize(context)
    requests.send("loaded")
    while True:
        try:
            body = requests.recv_bytes()
        except EOFError:
            return
        (answer,) = handler.handle([{"body": bytearray(body)}], context)
        requests.send_bytes(answer)
