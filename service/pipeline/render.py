"""The last step, render: the worker's mask goes in, the body of the response comes out.

Called by `service.pipeline.segment`; a batch runs it for each of its images.
"""

import asyncio
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial

from service.metrics.images import ImageMetrics
from service.metrics.stage_times import StageTimes
from service.pipeline.admit import AdmittedImage
from service.pipeline.dispatch import WorkerMask
from service.pipeline.options import RequestOptions
from service.render import Rendered, render

# larger photos are rendered in threads of their own, so that small ones do not wait for them
LARGE_PIXELS = 4_000_000


@dataclass(frozen=True, slots=True)
class RenderStep:
    """Renders in threads, off the event loop."""

    large_photos: Executor
    metrics: ImageMetrics

    async def __call__(
        self, mask: WorkerMask, image: AdmittedImage, options: RequestOptions, stages: StageTimes
    ) -> Rendered:
        """Render with the legend of the model that made the mask; raises ProblemError."""
        with stages.timing("render"):
            rendered = await self._render(mask, image, options)
        self.metrics.observe_stages(stages, options.model)
        return rendered

    async def _render(
        self, mask: WorkerMask, image: AdmittedImage, options: RequestOptions
    ) -> Rendered:
        if mask.card is None:
            return Rendered(mask.png, mask.media_type)
        render_options = options.render_with(mask.card)
        work = partial(render, mask.png, image.body, render_options, mask.card.legend)
        threads = self.large_photos if image.pixels > LARGE_PIXELS else None
        return await asyncio.get_running_loop().run_in_executor(threads, work)
