"""The whole worker: one TorchServe batch in, one answer per image out, in the same order.

    share -> sort -> open -> decode -> plan -> forward -> encode -> hold

Decoding and encoding run in threads beside the network: the next photos are decoded and the last
masks encoded while a group is in its forward pass. What goes wrong with an image becomes that
image's own answer; what a process has died on before runs after the others, alone
(`handlers.isolation.guard`).
"""

import logging
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from handlers.isolation.guard import Guard, TimeLimits
from handlers.job import Answer, Job
from handlers.log import with_fields
from handlers.model_config import ModelConfig, load_config
from handlers.runtime.cost_rates import measure_rates
from handlers.runtime.device import choose_device, codec_threads
from handlers.runtime.model_card import model_card
from handlers.runtime.network import Network
from handlers.runtime.pass_costs import PassCosts
from handlers.runtime.warm_up import warm_up
from handlers.shared.errors import ProblemError, WorkerFailedError
from handlers.shared.model_card import WorkerModelCard
from handlers.shared.photo import Pixels
from handlers.shared.wire import JSON_MEDIA_TYPE, PNG_MEDIA_TYPE, Report
from handlers.stages.decode import Opened, decode, open_photo
from handlers.stages.encode import Mask, encode, labelled
from handlers.stages.forward import forward
from handlers.stages.outcome import Outcome, attempt
from handlers.stages.plan import Group, plan
from handlers.stages.share import Jobs, share

UNGUARDED = Guard()

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Track:
    """An image on its way out: its mask is being encoded, and what has happened to it so far."""

    encoding: Future[Outcome[Mask]]
    report: Report


class Pipeline:
    """A loaded model and the threads around it."""

    def __init__(
        self, config: ModelConfig, network: Network, costs: PassCosts, card: WorkerModelCard
    ) -> None:
        self.card = card
        self._network = network
        self._costs = costs
        self._open_photo = partial(open_photo, working_max_side=config.working_max_side)
        self._encode = partial(encode, palette=config.palette_bytes)
        self._threads = codec_threads(network.device)
        timeout_s = config.batching.response_timeout_s
        self._limits = TimeLimits.of(timeout_s, network.device.threads)

    @classmethod
    def load(cls, folder: Path, gpu_id: int | None = None) -> "Pipeline":
        """Load the model in `folder` on TorchServe's GPU, or on the CPU, and warm it up."""
        config = load_config(folder)
        network = Network.on(choose_device(gpu_id, config.precision), config, folder)
        costs = warm_up(network, config.batching)
        with codec_threads(network.device) as threads:  # where codecs will run
            rates = threads.submit(measure_rates, network, costs).result()
        card = model_card(config, folder, network.device, rates)
        return cls(config, network, costs, card)

    def run(self, jobs: Sequence[Job | ProblemError], guard: Guard = UNGUARDED) -> list[Answer]:
        """Answer every job; one image's failure is its own answer and costs the others nothing."""
        images = {place: job for place, job in enumerate(jobs) if not wants_card(job)}
        cards = {place: self._describe() for place in range(len(jobs)) if place not in images}
        now, put_off = share(images)
        with guard.batch(now, self._limits) as batch:
            answered = self._segment(batch.together, guard)
            for suspects in batch.later:
                answered |= self._segment(suspects, guard)
        answers = in_order(told_of_batch(answered) | put_off | cards, len(jobs))
        log_images(jobs, answers)
        return answers

    def _segment(self, images: Jobs, guard: Guard) -> dict[int, Answer]:
        opened, stopped = self._open(images, guard)
        decoding = {
            place: self._threads.submit(guard.run, (place,), attempt, decode, photo)
            for place, photo in opened.items()
        }
        started = time.perf_counter()
        frames = {place: self._network.frame(photo.working_size) for place, photo in opened.items()}
        groups = plan(frames, self._costs)
        report = Report({"plan": (time.perf_counter() - started) * 1000})
        tracks: dict[int, Track] = {}
        for group in groups:
            decoded = {place: decoding.pop(place).result() for place in group.members}
            tracks |= self._forward(group, opened, decoded, report, guard)
        return hold(tracks) | {
            place: Answer.of_problem(problem, report) for place, problem in stopped.items()
        }

    def _open(
        self, images: Jobs, guard: Guard
    ) -> tuple[dict[int, Opened], dict[int, ProblemError]]:
        """Read the headers: sizes are known, and hopeless images sorted out, before any work."""
        opened: dict[int, Opened] = {}
        stopped: dict[int, ProblemError] = {}
        for place, job in images.items():
            photo = guard.run((place,), attempt, self._open_photo, job).value
            if isinstance(photo, ProblemError):
                stopped[place] = photo
            else:
                opened[place] = photo
        return opened, stopped

    def _forward(
        self,
        group: Group,
        opened: Mapping[int, Opened],
        decoded: Mapping[int, Outcome[Pixels]],
        report: Report,
        guard: Guard,
    ) -> dict[int, Track]:
        """Run one group through the network and start encoding its masks."""
        started = time.perf_counter()
        photos = {place: outcome.value for place, outcome in decoded.items()}
        forwarded = guard.run(group.members, forward, self._network, group, photos, opened)
        forward_ms = (time.perf_counter() - started) * 1000
        tracks = {}
        for place, one in forwarded.items():
            told = report.with_stages(decode=decoded[place].ms, forward=forward_ms)
            photo = labelled(one, opened[place])
            encoding = self._threads.submit(guard.run, (place,), attempt, self._encode, photo)
            tracks[place] = Track(encoding, replace(told, group=one.figures))
        return tracks

    def _describe(self) -> Answer:
        return Answer(self.card.model_dump_json().encode(), JSON_MEDIA_TYPE, Report({}))


def wants_card(job: Job | ProblemError) -> bool:
    return isinstance(job, Job) and job.options.output == "describe"


def in_order(answers: Mapping[int, Answer], count: int) -> list[Answer]:
    """Give each place its answer; one that has none, by a defect, gets a problem."""
    lost = [place for place in range(count) if place not in answers]
    if lost:
        logger.error("%d of %d images of a batch have no outcome", len(lost), count)
    problem = WorkerFailedError("the worker lost this image, which is a defect; try again")
    missing = Answer.of_problem(problem, Report({}))
    return [answers.get(place, missing) for place in range(count)]


def told_of_batch(answers: dict[int, Answer]) -> dict[int, Answer]:
    """Have the first image's answer tell how many there were, so that each batch is counted
    once.
    """
    if not answers:
        return answers
    first = min(answers)
    report = replace(answers[first].report, batch_images=len(answers))
    return answers | {first: replace(answers[first], report=report)}


def hold(tracks: Mapping[int, Track]) -> dict[int, Answer]:
    """Wait for the slowest: TorchServe sends all answers of a batch together."""
    encoded = {place: track.encoding.result() for place, track in tracks.items()}
    now = time.perf_counter()
    answers = {}
    for place, mask in encoded.items():
        hold_ms = (now - mask.ended) * 1000
        waited_ms = mask.value.waited_ms if isinstance(mask.value, Mask) else 0.0
        report = tracks[place].report.with_stages(
            forward=tracks[place].report.stages_ms["forward"] + waited_ms,
            encode=mask.ms - waited_ms,
            hold=hold_ms,
        )
        if isinstance(mask.value, ProblemError):
            answers[place] = Answer.of_problem(mask.value, report)
        else:
            told = replace(report, class_pixels=mask.value.class_pixels)
            answers[place] = Answer(mask.value.png, PNG_MEDIA_TYPE, told)
    return answers


def log_images(jobs: Sequence[Job | ProblemError], answers: Sequence[Answer]) -> None:
    """Write a line an image, for who looks for one request's; seldom wanted, and only then made."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    for job, answer in zip(jobs, answers, strict=True):
        request_id = job.request_id if isinstance(job, Job) else ""
        stages_ms = {verb: round(ms, 1) for verb, ms in answer.report.stages_ms.items()}
        fields = with_fields(request_id=request_id, media_type=answer.media_type, **stages_ms)
        logger.debug("image", extra=fields)
