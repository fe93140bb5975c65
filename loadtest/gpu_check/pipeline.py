"""The stage of the pipeline: photos in, PNGs out, in one process, as a worker has it.

Every answer is compared with the one that the same photo got alone.
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from statistics import fmean, median
from threading import Event, Thread

import torch

from handlers.job import Answer, Job
from handlers.log import log_to_stderr
from handlers.pipeline import Pipeline
from loadtest.gpu_check.catalogue import Scale
from loadtest.gpu_check.networks import MODEL, SAMPLES, limit_warm_up
from loadtest.gpu_check.results import Cell, Check, Fact, Item, Row
from loadtest.traffic.corpus import make_photos

TARGET = 2500.0  # masks a second of the bundled model
SAMPLED_EVERY_S = 0.1
STAGES = ("decode", "plan", "forward", "encode", "hold")


def run(scale: Scale) -> Iterator[Item]:
    """Yield the time of the start, then a row for each set of photos and size of batches."""
    log_to_stderr()
    limit_warm_up(scale)
    started = time.perf_counter()
    pipeline = Pipeline.load(MODEL, 0 if scale.device == "cuda" else None)
    yield Fact("loading and warm-up, s", time.perf_counter() - started)
    yield Fact("passes that a worker uses", len(pipeline._costs.shared))
    yield Fact("numerics", pipeline.card.numerics)
    differing, best = 0, 0.0
    for name in scale.sets:
        jobs = jobs_of(name, scale)
        alone = [pipeline.run([job])[0].body for job in jobs]
        for batch in sorted({1, scale.batch}):
            row = measured(name, pipeline, jobs, alone, batch, scale)
            differing += int(row.cells["differing"] or 0)
            best = max(best, float(row.cells["masks/s"] or 0))
            yield row
    yield Check(
        "each mask is the one that the photo gets alone", not differing, f"{differing} differ"
    )
    if scale.device == "cuda":
        claim = f"{TARGET:.0f} masks/s in one process"
        yield Check(claim, best >= TARGET, f"{best:.0f}", of_speed=True)


def jobs_of(name: str, scale: Scale) -> list[Job]:
    photos = make_photos(name, scale.photos, 0, sorted(SAMPLES.glob("*.jpg")))
    return [Job(photo.body) for photo in photos]


def measured(
    name: str,
    pipeline: Pipeline,
    jobs: Sequence[Job],
    alone: Sequence[bytes],
    batch: int,
    scale: Scale,
) -> Row:
    """Answer batches of the photos in a new order each round, at least one round."""
    order, rng = list(range(len(jobs))), random.Random(0)
    answers: list[Answer] = []
    times: list[float] = []
    differing = 0
    started = time.perf_counter()
    with sampled_use(scale) as used:
        while not times or time.perf_counter() - started < scale.seconds:
            rng.shuffle(order)
            for some in (order[first : first + batch] for first in range(0, len(order), batch)):
                begun = time.perf_counter()
                made = pipeline.run([jobs[index] for index in some])
                times.append(time.perf_counter() - begun)
                differing += sum(
                    one.body != alone[index] for one, index in zip(made, some, strict=True)
                )
                answers += made
    took_s = time.perf_counter() - started
    stages: dict[str, Cell] = {
        f"{stage}, ms": fmean(answer.report.stages_ms.get(stage, 0.0) for answer in answers)
        for stage in STAGES
    }
    cells: dict[str, Cell] = {"photos": name, "batch": batch, "masks/s": len(answers) / took_s}
    ms: dict[str, Cell] = {"ms a batch": 1000 * median(times)}
    ends: dict[str, Cell] = {"GPU in use, %": fmean(used) if used else None, "differing": differing}
    return Row("Masks a second", cells | ms | stages | ends)


@contextmanager
def sampled_use(scale: Scale) -> Iterator[list[float]]:
    """Sample how much of the time the GPU has computed, by the driver's own count; yields what
    becomes the samples, none without nvidia-ml-py.
    """
    samples: list[float] = []
    done = Event()

    def sample() -> None:
        try:
            while not done.wait(SAMPLED_EVERY_S):
                samples.append(torch.cuda.utilization())
        except Exception as error:  # noqa: BLE001 - of the driver's library, of any class
            print(f"the use of the GPU is not known: {error}")

    thread = Thread(target=sample, daemon=True)
    if scale.device == "cuda":
        thread.start()
    try:
        yield samples
    finally:
        done.set()
        if thread.is_alive():
            thread.join()
