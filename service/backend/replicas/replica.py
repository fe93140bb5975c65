"""One TorchServe and, for each model, what it has of the images, its speed and its health.

Made by `service.backend.replicas.replica_set` for each address; chosen by
`service.backend.dispatcher`, read and changed by `service.backend.attempt` and
`service.backend.health`.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace

from service.backend.client import TorchServeClient
from service.backend.exclusive import ExclusiveImages
from service.backend.model_card import ModelCard
from service.backend.queue import DispatchLimits, QueueEntry
from service.backend.replicas.speed import Speed
from service.backend.replicas.window import Window
from service.backend.room import Room
from service.inference_address import InferenceAddress
from service.metrics.replicas import ShownReplica
from service.multiprocess.group import ProcessGroup
from service.multiprocess.replica_figures import REPLICA_ANSWERED, REPLICA_FAILED, SPEED, tag_of

NEVER = float("-inf")

logger = logging.getLogger(__name__)


class ModelReplica:
    """One model at one replica."""

    def __init__(
        self,
        name: str,
        model: str,
        client: TorchServeClient,
        group: ProcessGroup,
        on_change: Callable[[], None],
    ) -> None:
        """Take the function to call when it may take other images than before."""
        self.name = name
        self.model = model
        self.client = client
        self.tag = tag_of(name)
        self.figures = group.replicas
        self.room = Room(self.figures, model, name)
        self.speed = Speed(self.figures.figure(SPEED, model, self.tag))
        self.exclusive = ExclusiveImages(on_change)
        self.card: ModelCard | None = None
        self.reading = asyncio.Lock()  # of the card
        self.latest_tag = ""  # of an answer
        self.batch_timeout_s = 0.0
        self.answered_at = NEVER
        self.is_alive = False  # has answered within the window, and refused nothing since
        self.is_missing = False
        self.is_draining = False
        self.is_excluded = False  # its digest is not the pinned one
        self.is_paused = False
        self.images_answered = self.figures.figure(REPLICA_ANSWERED, model, self.tag)
        self.images_failed = self.figures.figure(REPLICA_FAILED, model, self.tag)
        self._has_refused = False
        self._window = Window()
        self._limits: tuple[DispatchLimits, DispatchLimits] | None = None
        self._on_change = on_change
        self._resuming: asyncio.TimerHandle | None = None

    @property
    def is_eligible(self) -> bool:
        """Whether images may be sent here, should no replica be alive."""
        return not (self.is_draining or self.is_excluded)

    @property
    def takes_images(self) -> bool:
        return self.is_alive and self.is_eligible and not self.is_paused

    def limits_for(self, entry: QueueEntry) -> DispatchLimits:
        """Return how much may be here at a time, in seconds of the card that the image's cost was
        predicted with.
        """
        limits = entry.limits
        if self._limits is None or self._limits[0] is not limits:
            self._limits = limits, self._limits_in_unit_of(limits)
        return self._limits[1]

    def _limits_in_unit_of(self, limits: DispatchLimits) -> DispatchLimits:
        own = self.card.dispatch_limits.in_unit_of(limits) if self.card else limits
        if self._window.requests >= own.requests:
            return own
        requests = int(self._window.requests)
        return replace(own, requests=requests, workers=min(own.workers, requests))

    def finish_s(self, more_s: float) -> float:
        """Predict in how many seconds so much more work would be done."""
        return (self.room.all_seconds() + more_s) / self.speed.value

    def take(self, entries: Sequence[QueueEntry]) -> float:
        """Count a request that is sent; return the work that is here, it included."""
        self.room.take(entries)
        self.exclusive.started(entries[0])
        return self.room.all_seconds()

    def give_back(self, entries: Sequence[QueueEntry]) -> None:
        """Count a request that has ended."""
        self.room.give_back(entries)
        self.exclusive.done(entries[0])

    def measured(self, work_s: float, seconds: float, expected: float) -> None:
        """Record how long a request took, sent when so much work was here."""
        self.speed.add(work_s, seconds, time.monotonic(), expected)

    @property
    def has_answered(self) -> bool:
        """Whether it has ever answered, and refused nothing since."""
        return self.answered_at != NEVER and not self._has_refused

    def answered(self, now: float) -> None:
        """Record that a worker here has just answered."""
        self.answered_at = now
        self._has_refused = False
        self.is_missing = False
        if self._window.requests != float("inf") or not self.is_alive or self.is_paused:
            self._window.answered(self.card.dispatch_limits.requests if self.card else 1)
            self._limits = None
            self.is_alive = True
            self._resume()

    def refused(self) -> None:
        """Record that it took no request, or lost one: it is left alone for a moment, and until its
        next answer where another replica is alive.
        """
        pause_s = self._window.refused(self.room.shared_requests)
        self._limits = None
        self._has_refused = True
        self.is_alive, self.is_paused = False, True
        if self._resuming is not None:
            self._resuming.cancel()
        self._resuming = asyncio.get_running_loop().call_later(pause_s, self._resume)
        self._on_change()

    def show(self, *, is_alive: bool) -> None:
        """Record whether it has answered lately."""
        if is_alive != self.is_alive:
            self.is_alive = is_alive
            self._on_change()

    def show_draining(self, *, is_draining: bool) -> None:
        """Record whether its latest answer says that its TorchServe is about to stop."""
        if is_draining != self.is_draining:
            logger.info(
                "replica %s: %s",
                self.name,
                "is about to stop, and gets nothing more" if is_draining else "takes images again",
            )
            self.is_draining = is_draining
            self._on_change()

    def exchange(self, card: ModelCard | None) -> None:
        """Keep another card; None where it is not known."""
        self.card = card
        self._limits = None
        if card is not None:
            self.batch_timeout_s = card.response_timeout_s
        self._on_change()

    def shown(self) -> ShownReplica:
        """Describe it for the metrics; counts are those of all processes."""
        card = self.card
        return ShownReplica(
            replica=self.name,
            model=self.model,
            digest=card.digest if card else "",
            device=card.device if card else "",
            is_ready=self.takes_images,
            is_draining=self.is_draining,
            is_excluded=self.is_excluded,
            images=self.room.images,
            seconds=self.room.all_seconds(),
            speed=self.speed.value,
            answered=self.images_answered.total(),
            failed=self.images_failed.total(),
        )

    def _resume(self) -> None:
        self.is_paused = False
        if self._resuming is not None:
            self._resuming.cancel()
            self._resuming = None
        self._on_change()


class Replica:
    """One TorchServe, at one address."""

    def __init__(
        self,
        address: InferenceAddress,
        client: TorchServeClient,
        models: Sequence[str],
        group: ProcessGroup,
        on_change: Callable[[str], Callable[[], None]],
    ) -> None:
        self.address = address
        self.name = address.replica_name
        self.client = client
        self.models = {
            model: ModelReplica(self.name, model, client, group, on_change(model))
            for model in models
        }

    @property
    def is_empty(self) -> bool:
        return not any(each.room.images for each in self.models.values())
