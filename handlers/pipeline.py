"""The whole worker: one TorchServe batch in, one answer per image out, in the same order.

    isolate -> open -> plan -> decode -> forward -> encode -> hold

An image is in turn a `Job`, a `Photo`, its pixels, `PendingLabels`, a `Mask` and an `Answer`; its
`Outcome` has the last of these, or the problem that stopped this image and no other. The plan needs
sizes only, and says where photos are decoded to: a GPU's network has memory for each group.
Decoding and encoding run beside the network (`handlers.stages.codecs`): the next photos are decoded
and the last masks encoded while a group is in its forward pass. Images that may have ended a
process run after the others, one at a time (`handlers.isolation`). Made and called by
`handlers.entry`.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import repeat
from pathlib import Path

from handlers.isolation.crash_isolation import CrashIsolation
from handlers.isolation.time_limits import TimeLimits
from handlers.job import Answer, Job, Jobs
from handlers.model_config import ModelConfig, load_config
from handlers.runtime.canvas_batch import CanvasBatch, CanvasShape
from handlers.runtime.cost_rates import measure_rates
from handlers.runtime.device import choose_device, codec_threads
from handlers.runtime.labels import PendingLabels
from handlers.runtime.load_network import load_network
from handlers.runtime.model_card import model_card
from handlers.runtime.network import Network
from handlers.runtime.pass_costs import PassCosts
from handlers.runtime.warm_up.idle import IdleWarmUp
from handlers.runtime.warm_up.run import WarmUp
from handlers.shared.errors import ProblemError
from handlers.shared.model_card import WorkerModelCard
from handlers.shared.photo import Pixels
from handlers.shared.wire import JSON_MEDIA_TYPE, Report
from handlers.stages.codecs import CodecCall, Codecs
from handlers.stages.decode import Photo, decode, open_photo
from handlers.stages.encode import Mask, encode, wait
from handlers.stages.forward import forward
from handlers.stages.hold import hold, in_order, log_images, with_batch_size
from handlers.stages.outcome import Outcome
from handlers.stages.plan import Group, plan

NOT_ISOLATED = CrashIsolation()

PlannedGroup = tuple[Group, CanvasBatch | None]  # with memory to decode its photos into, if of use


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
        self._codecs = Codecs(network.device)
        self._keep_network: Callable[[], AbstractContextManager[None]] = nullcontext
        timeout_s = config.batching.response_timeout_s
        self._limits = TimeLimits.of(timeout_s, network.device.threads)

    @classmethod
    def load(cls, folder: Path, gpu_id: int | None = None) -> "Pipeline":
        """Load the model in `folder` on TorchServe's GPU, or on the CPU, and warm it up."""
        config = load_config(folder)
        network = load_network(choose_device(gpu_id, config.precision), config, folder)
        warm_up = WarmUp(network, config.batching)
        warm_up.run()
        with codec_threads(network.device) as threads:  # where codecs will run
            rates = threads.submit(measure_rates, network, warm_up.costs).result()
        card = model_card(config, folder, network.device, rates)
        pipeline = cls(config, network, warm_up.costs, card)
        if network.device.kind == "cuda":
            pipeline.go_on_when_idle(warm_up)
        return pipeline

    def go_on_when_idle(self, warm_up: WarmUp) -> None:
        """Measure what the warm-up had no time for while no batch is in work."""
        idle = IdleWarmUp(warm_up, self._network.device, self._use)
        self._keep_network = idle.batch
        idle.start()

    def _use(self, costs: PassCosts) -> None:
        self._costs = costs

    def run(
        self, jobs: Sequence[Job | ProblemError], isolation: CrashIsolation = NOT_ISOLATED
    ) -> list[Answer]:
        """Answer every job; one image's failure is its own answer and costs the others nothing."""
        images = {index: job for index, job in enumerate(jobs) if not is_describe(job)}
        cards = {index: self._describe() for index in range(len(jobs)) if index not in images}
        with self._keep_network(), isolation.batch(images, self._limits) as batch:
            answered = self._segment(batch.together, isolation)
            for suspects in batch.later:
                answered |= self._segment(suspects, isolation)
        answers = in_order(with_batch_size(answered) | cards, len(jobs))
        log_images(jobs, answers)
        return answers

    def _segment(self, images: Jobs, isolation: CrashIsolation) -> dict[int, Answer]:
        """Take images through all stages, group by group."""
        photos, stopped = self._open(images, isolation)
        pixels = max((photo.pixels for photo in photos.values()), default=0)
        planning = time.perf_counter()
        groups = self._plan(photos)
        plan_ms = (time.perf_counter() - planning) * 1000
        decoding = self._start_decoding(photos, groups, pixels, isolation)
        encoding: dict[int, CodecCall[Outcome[Mask]]] = {}
        for group, batch in groups:
            decoded = {
                index: decoding.pop(index).result().with_stage("plan", plan_ms)
                for index in group.members
            }
            labelled = isolation.run(
                group.members, forward, self._network, group, photos, decoded, batch
            )
            encode_calls = [
                partial(isolation.run, (index,), self._finish, outcome)
                for index, outcome in labelled.items()
            ]
            is_last = group is groups[-1][0]
            started = self._codecs.start(encode_calls, pixels, caller_waits=is_last)
            encoding |= dict(zip(labelled, started, strict=True))
        report = Report({"plan": plan_ms})
        return hold(encoding) | {
            index: Answer.of_problem(problem, report) for index, problem in stopped.items()
        }

    def _open(
        self, images: Jobs, isolation: CrashIsolation
    ) -> tuple[dict[int, Photo], dict[int, ProblemError]]:
        """Read the headers: sizes are known, and unreadable images stopped, before any work."""
        photos: dict[int, Photo] = {}
        stopped: dict[int, ProblemError] = {}
        for index, job in images.items():
            request_id = job.request_id if isinstance(job, Job) else ""
            opened = isolation.run(
                (index,), Outcome(job, request_id).then, "open", self._open_photo
            )
            if isinstance(opened.value, ProblemError):
                stopped[index] = opened.value
            else:
                photos[index] = opened.value
        return photos, stopped

    def _plan(self, photos: Mapping[int, Photo]) -> list[PlannedGroup]:
        """Split photos into groups."""
        sizes = {index: photo.working_size for index, photo in photos.items()}
        canvas = self._network.single_canvas
        groups = plan({index: canvas(size) for index, size in sizes.items()}, self._costs)
        shapes = [
            CanvasShape(group.canvas, [sizes[index] for index in group.members]) for group in groups
        ]
        return list(zip(groups, self._network.canvas_batches(shapes), strict=True))

    def _start_decoding(
        self,
        photos: Mapping[int, Photo],
        groups: Sequence[PlannedGroup],
        pixels: int,
        isolation: CrashIsolation,
    ) -> dict[int, CodecCall[Outcome[Pixels]]]:
        """Begin with the first group's photos."""
        calls = {}
        for group, batch in groups:
            for index, memory in zip(group.members, batch or repeat(None), strict=False):
                first = Outcome(photos[index], photos[index].request_id)
                stage = partial(decode, memory=memory)
                calls[index] = partial(isolation.run, (index,), first.then, "decode", stage)
        return dict(zip(calls, self._codecs.start(calls.values(), pixels), strict=True))

    def _finish(self, labelled: Outcome[PendingLabels]) -> Outcome[Mask]:
        """Wait for the device, and encode."""
        return labelled.then("forward", wait).then("encode", self._encode)

    def _describe(self) -> Answer:
        return Answer(self.card.model_dump_json().encode(), JSON_MEDIA_TYPE, Report({}))


def is_describe(job: Job | ProblemError) -> bool:
    return isinstance(job, Job) and job.options.output == "describe"
