"""The model card as the gateway serves it: the worker's, with what the gateway derives from it,
once for all images.

Read by `service.backend.registry`; `/v1/models` returns it.
"""

import math
from functools import cached_property

from pydantic import computed_field

from handlers.shared.model_card import Rgb, WorkerModelCard
from service.backend.queue import DispatchLimits
from service.render import Legend, overlay_palette


class ModelCard(WorkerModelCard):
    """What a client needs to know of a model to read its masks."""

    @property
    def slowest_batch_s(self) -> float:
        """Seconds that a slow batch takes: `model.yaml` allows three times as many."""
        return self.response_timeout_s / 3

    @computed_field(description="the label of pixels whose class `classes=` or `min_area=` took")  # type: ignore[prop-decorator]  # pydantic's way to do it
    @property
    def filtered_id(self) -> int:
        return self.legend.filtered

    @computed_field(description="colours of an overlay")  # type: ignore[prop-decorator]
    @property
    def overlay_palette(self) -> tuple[Rgb, ...]:
        flat = overlay_palette(self.legend.palette, self.background_id)
        return tuple(zip(flat[::3], flat[1::3], flat[2::3], strict=True))

    @cached_property
    def legend(self) -> Legend:
        palette = bytes(channel for colour in self.palette for channel in colour)
        return Legend(self.classes, palette, self.background_id)

    def image_limit_s(self, max_image_seconds: float) -> float:
        """Return the predicted seconds that an image may take: the operator's limit (0: none), and
        the time of a slow batch.
        """
        return min(max_image_seconds or self._most_s, self.slowest_batch_s or math.inf)

    @cached_property
    def _most_s(self) -> float:
        return self.costs.most_s(self.working_max_side)

    @cached_property
    def dispatch_limits(self) -> DispatchLimits:
        """How much TorchServe may have of this model at a time: all of it may end up in one batch,
        and takes half of the time after which a worker counts as hanging.
        """
        seconds = self.response_timeout_s / 2 or math.inf
        exclusive_s = self.costs.long_s(self.working_max_side)
        return DispatchLimits.of(self.workers, self.batch_size, seconds, exclusive_s)
