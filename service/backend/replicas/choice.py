"""Which replica gets the next request: the one that will be done with it first.

A replica's time is the predicted seconds of all that it has, divided by its measured speed. An idle
worker is always used. A request beyond one a worker is only the next one there, so it goes to no
replica that would be done with it later than another that is full: the image would rather wait for
that one. Replicas that take images and an image come in; no I/O. Called by
`service.backend.dispatcher`.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from service.backend.queue import QueueEntry
from service.backend.replicas.ready import Mask, ReadyReplicas
from service.backend.replicas.replica import ModelReplica
from service.backend.room import NextRequest
from service.multiprocess.replica_figures import Floats


@dataclass(slots=True)
class Choice:
    """A replica, the request that it gets, and the replica that would be next best."""

    replica: ModelReplica
    request: NextRequest
    other: ModelReplica | None = None

    def has_room(self, entry: QueueEntry) -> bool:
        """Return whether another image may go, too: where the request has room, and the image would
        not be done sooner at the other replica.
        """
        other, request = self.other, self.request
        if not request.has_room(entry):
            return False
        if other is None or request.images == 0:
            return True
        if entry.avoid == self.replica.name:
            return False
        here_s = self.replica.finish_s(request.seconds + entry.cost_s)
        return here_s <= other.finish_s(entry.cost_s)


def choose(entry: QueueEntry, waiting: int, ready: ReadyReplicas) -> Choice | None:
    """Return the replica for the first image that waits, of so many; None while none has room."""
    if entry.prefer or entry.avoid:
        ready = allowed(entry, ready)
    if len(ready) < 2:  # noqa: PLR2004 - there is no choice
        return with_room(entry, waiting, ready[0]) if ready else None
    finish_s = ready.finish_s(entry.cost_s)
    best = int(finish_s.argmin())
    found = with_room(entry, waiting, ready[best])
    if entry.is_exclusive:
        return found
    are_others = ready.are_idle(entry)  # one that is full, or chosen, would still be done sooner
    are_others[best] = False
    for index in in_order(finish_s, are_others):
        if choice := with_room(entry, waiting, ready[index]):
            if found is not None:
                found.other = choice.replica
                break
            found = choice
    return found


def in_order(finish_s: Floats, are_others: Mask) -> Iterator[int]:
    """Iterate over these replicas, the one that will be done first at first; their times are
    overwritten.
    """
    finish_s[~are_others] = np.inf
    while finish_s.item(index := int(finish_s.argmin())) < math.inf:
        yield index
        finish_s[index] = np.inf


def allowed(entry: QueueEntry, ready: ReadyReplicas) -> ReadyReplicas:
    """Return the replicas for this image: the preferred one, or not the one that has lost it, if
    there are others.
    """
    if entry.prefer:
        found = [each for each in ready if each.name == entry.prefer]
    else:
        found = [each for each in ready if each.name != entry.avoid]
    return ReadyReplicas(found) if found else ready


def with_room(entry: QueueEntry, waiting: int, replica: ModelReplica) -> Choice | None:
    request = NextRequest(replica.room, waiting, replica.limits_for(entry))
    return Choice(replica, request) if request.has_room(entry) else None


def for_exclusive(
    entry: QueueEntry, ready: ReadyReplicas, *, has_shared_waiting: bool
) -> ReadyReplicas:
    """Return the replicas that may take an exclusive image: while there are shared ones, exclusive
    images are at half of the replicas at most, or at one.
    """
    has_shared = has_shared_waiting or any(each.room.shared_images for each in ready)
    is_shared_out = has_shared and len(ready) > 1
    most = max(1, len(ready) // 2) if is_shared_out else len(ready)
    has_free = sum(each.exclusive.count > 0 for each in ready) < most
    return ReadyReplicas(
        [
            each
            for each in ready
            if (has_free or each.exclusive.count)
            and not each.exclusive.is_held_back(
                each.room.part(each.limits_for(entry).workers), has_shared=has_shared
            )
        ]
    )
