"""The third step, dispatch: an admitted image goes in; the worker's mask comes out, with the card
of the model that made it.

An attempt waits in the queue and goes to TorchServe, together with other images that wait
(`service.backend`). It is repeated after a crash or a restart (`service.backend.retry`), and when
the model was exchanged before its card was read. Called by `service.pipeline.segment`; a batch runs
it for each of its images. Deadlines are the caller's.
"""

import time
from collections.abc import Awaitable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

from handlers.shared.errors import PROBLEM_MEDIA_TYPE, read_problem
from service.backend.client import SentImage, WorkerAnswer
from service.backend.dispatcher import Dispatcher
from service.backend.model_card import ModelCard
from service.backend.queue import QueueEntry
from service.backend.registry import ModelRegistry
from service.backend.retry import Earlier, Retry
from service.errors import NotReadyError
from service.metrics.stage_times import StageTimes
from service.pipeline.admit import AdmittedImage
from service.pipeline.options import RequestOptions
from service.render import passes_through

# models that segment an image in turn, each exchanged before its answer could be rendered
MAX_MODELS = 3


class WorkerMask(NamedTuple):
    """The worker's PNG and its model (name@digest), with that model's card where rendering needs
    it.
    """

    png: bytes
    media_type: str
    model: str
    card: ModelCard | None


@dataclass(frozen=True, slots=True)
class DispatchStep:
    """Sends images to the workers of all models."""

    models: ModelRegistry
    dispatchers: Mapping[str, Dispatcher[SentImage, WorkerAnswer]]
    retry: Retry

    async def __call__(
        self, image: AdmittedImage, options: RequestOptions, stages: StageTimes
    ) -> WorkerMask:
        """Have the image segmented; raises ProblemError."""
        for _ in range(MAX_MODELS):
            answer = await self._answer(image, options, stages)
            mask = partial(WorkerMask, answer.body, answer.media_type, answer.model)
            if passes_through(options.render):
                return mask(None)
            if card := await self._card_of(answer, options):
                return mask(card)
        raise NotReadyError(
            f"the model {options.model} is being exchanged, and was again while this image was "
            "segmented; send it again"
        )

    async def _answer(
        self, image: AdmittedImage, options: RequestOptions, stages: StageTimes
    ) -> WorkerAnswer:
        """Return the worker's answer, and add its stage times; raises ProblemError."""
        started = time.perf_counter()
        answer = await self._send(image, options)
        stages.add_upstream((time.perf_counter() - started) * 1000, answer.report.stages_ms)
        if answer.media_type == PROBLEM_MEDIA_TYPE:
            raise read_problem(answer.body)
        return answer

    def _send(self, image: AdmittedImage, options: RequestOptions) -> Awaitable[WorkerAnswer]:
        """Queue and send the image, until a worker has answered it."""
        model, dispatcher = options.model, self.dispatchers[options.model]
        limits = options.card.dispatch_limits
        entry = dispatcher.entry(image.frame, image.cost_s, limits, len(image.body), image.pixels)
        attempt = partial(attempt_at, dispatcher, entry, image, options)
        return self.retry.until_answered(model, attempt)

    async def _card_of(self, answer: WorkerAnswer, options: RequestOptions) -> ModelCard | None:
        """Return the card of the answer's model: nearly always the request's own; None where that
        model is gone and its card was never read.
        """
        if answer.model == options.card.tag:
            return options.card
        return await self.retry.until_answered(
            options.model, lambda _: self.models.card_of(options.model, answer.model)
        )


def attempt_at(
    dispatcher: Dispatcher[SentImage, WorkerAnswer],
    entry: QueueEntry,
    image: AdmittedImage,
    options: RequestOptions,
    earlier: Earlier,
) -> Awaitable[WorkerAnswer]:
    """Send an image once, as a suspect if a worker has crashed with it: such an image goes alone,
    and runs alone. After a failure another replica is tried first, and after a second crash the
    one that crashed last, which knows what the image did. Raises what `TorchServeClient.send`
    raises.
    """
    has_crashed = earlier.crashes > 0
    if has_crashed or earlier.replica:
        stays = earlier.crashes > 1
        entry = entry._replace(
            is_suspect=has_crashed,
            avoid="" if stays else earlier.replica,
            prefer=earlier.replica if stays else "",
        )
    for_worker = options.options_of_image(image.cost_s, is_suspect=has_crashed)
    return dispatcher.run(entry, SentImage(for_worker, image.body))
