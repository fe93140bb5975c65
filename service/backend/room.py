"""How much a replica, one TorchServe, has of a model's images, and which may join the next request.

A request beyond one a worker is only the next one: it goes once it has as many images as those
before it have on average, or all that fit. So a few that arrive first do not go as a small batch
while most of the clients' images are still in work: simulated, 16 clients get 663 images/s of a
worker that takes 8 ms for a batch and 0.5 ms for an image, and 496 if all went at once.

Of several gateway processes each may always use its equal part of the room, and beyond it what the
others leave. So a process never waits for an event in another: it has its part, or it has images at
TorchServe whose answers wake it. Where one process used everything before others came, TorchServe
has up to twice its limit, until it has answered. Entries come in; no I/O. Called by
`service.backend.dispatcher`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from handlers.shared.frame import Frame
from handlers.shared.wire import MOST_JOINT_BYTES, MOST_JOINT_PIXELS
from service.backend.queue import DispatchLimits, QueueEntry
from service.multiprocess.replica_figures import (
    SENT_REQUESTS,
    SENT_SECONDS,
    WORK_SECONDS,
    ReplicaFigures,
    tag_of,
)


class Room:
    """The images that TorchServe has; exclusive ones take no room of the others."""

    def __init__(self, figures: ReplicaFigures, model: str, replica: str) -> None:
        """Take the figures of all processes that have images at TorchServe."""
        self.processes = figures.processes
        self._requests, self._seconds, self._work = (
            figures.figure(name, model, tag_of(replica))
            for name in (SENT_REQUESTS, SENT_SECONDS, WORK_SECONDS)
        )
        self.images = 0
        self.seconds = 0.0
        self.shared_requests = 0
        self.shared_images = 0
        self.shared_seconds = 0.0

    def take(self, entries: Sequence[QueueEntry]) -> None:
        """Count a request that is sent."""
        self._count(entries, 1)

    def give_back(self, entries: Sequence[QueueEntry]) -> None:
        """Count a request that has been answered."""
        self._count(entries, -1)

    def _count(self, entries: Sequence[QueueEntry], sign: int) -> None:
        images, seconds = sign * len(entries), sign * sum([each.cost_s for each in entries])
        self.images += images
        self.seconds += seconds
        self._work.own = self.seconds
        if not entries[0].is_exclusive:
            self.shared_requests += sign
            self.shared_images += images
            self.shared_seconds += seconds
            self._requests.own, self._seconds.own = self.shared_requests, self.shared_seconds

    def all_seconds(self) -> float:
        """Return the predicted seconds that TorchServe has of all processes' images."""
        return self._work.total()

    def part(self, count: int) -> int:
        """Return this process's part of so many workers or requests; at least one."""
        return max(1, count // self.processes)

    def has_slot(self, limits: DispatchLimits) -> bool:
        """Return whether TorchServe may get another request."""
        part = self.part(limits.requests)
        return self.shared_requests < part or self._requests.total() < limits.requests

    def has_idle_worker(self, limits: DispatchLimits) -> bool:
        """Return whether another request is computed at once."""
        part = self.part(limits.workers)
        return self.shared_requests < part or self._requests.total() < limits.workers

    def has_seconds(self, limits: DispatchLimits, more_s: float) -> bool:
        """Return whether TorchServe may get images of so many seconds more."""
        return (
            self.shared_seconds + more_s <= limits.seconds / self.processes
            or self._seconds.total() + more_s <= limits.seconds
        )


@dataclass(slots=True)
class NextRequest:
    """The images that have been chosen for the next request, of those that wait.

    `limits` are those of the replica that it goes to; None where each image's own hold.
    """

    room: Room
    waiting: int
    limits: DispatchLimits | None = None
    images: int = 0
    seconds: float = 0.0
    body_bytes: int = 0
    pixels: int = 0
    is_closed: bool = False
    last_frame: Frame | None = None

    def add(self, entry: QueueEntry) -> None:
        self.images += 1
        self.last_frame = entry.frame
        self.seconds += entry.cost_s
        self.body_bytes += entry.body_bytes
        self.pixels += entry.pixels
        self.is_closed = entry.goes_alone

    def has_room(self, entry: QueueEntry) -> bool:
        """Return whether an image may go now, in this request."""
        if entry.is_exclusive:
            return self.images == 0
        if self.images == 0:
            return self._has_slot(entry) and (
                self._has_seconds(entry) or not self.room.shared_images
            )
        return (
            not (self.is_closed or entry.goes_alone)
            and self.images < (self.limits or entry.limits).images
            and self.body_bytes + entry.body_bytes <= MOST_JOINT_BYTES
            and self.pixels + entry.pixels <= MOST_JOINT_PIXELS
            and self._has_seconds(entry)
        )

    def _has_seconds(self, entry: QueueEntry) -> bool:
        return self.room.has_seconds(self.limits or entry.limits, self.seconds + entry.cost_s)

    def _has_slot(self, entry: QueueEntry) -> bool:
        room, limits = self.room, self.limits or entry.limits
        if not room.has_slot(limits):
            return False
        if room.has_idle_worker(limits):
            return True
        return self.waiting >= min(limits.images, room.shared_images / room.shared_requests)
