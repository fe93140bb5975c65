"""The replicas that there are at present, and for each model those that take images.

Addresses come in, from `service.backend.replicas.discovery`; replicas are made and removed. One
that is removed gets no more images, and its connections are closed once it has answered those that
it has. Read by `service.backend.dispatcher`, `service.backend.registry` and
`service.backend.health`.
"""

import logging
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

from service.backend.client import TorchServeClient
from service.backend.replicas.ready import ReadyReplicas
from service.backend.replicas.replica import ModelReplica, Replica
from service.inference_address import InferenceAddress
from service.metrics.replicas import ShownReplica
from service.multiprocess.group import ProcessGroup
from service.multiprocess.replica_figures import MAX_REPLICAS, tag_of

logger = logging.getLogger(__name__)


class ModelReplicas:
    """One model at all replicas."""

    def __init__(self, found: Iterable[ModelReplica] = ()) -> None:
        self.all: Sequence[ModelReplica] = tuple(found)
        # those that take images; where none is alive, all that may be tried
        self.ready = ReadyReplicas()
        self.on_change: list[Callable[[], None]] = []
        # predicted seconds a second, of those that are alive: of a replica without samples
        self.expected_speed = 1.0
        self.changed()

    def changed(self) -> None:
        """Find out which take images."""
        alive = [each for each in self.all if each.is_alive and each.is_eligible]
        pool = alive or [each for each in self.all if each.is_eligible]
        self.ready = ReadyReplicas([each for each in pool if not each.is_paused])
        self.is_impossible = not pool
        if alive:
            self.expected_speed = sum(each.speed.value for each in alive) / len(alive)
        for notify in self.on_change:
            notify()

    def has_other(self, name: str) -> bool:
        """Return whether one takes images beside the replica of this name."""
        return any(each.takes_images and each.name != name for each in self.ready)

    def has(self, name: str) -> bool:
        """Return whether there is a replica of this name that images may be sent to again."""
        return any(each.name == name and each.is_eligible for each in self.all)

    def alive_count(self) -> int:
        return sum(each.is_alive and each.is_eligible for each in self.all)


class ReplicaSet:
    """All replicas, by name."""

    def __init__(
        self,
        models: Sequence[str],
        connect: Callable[[InferenceAddress], TorchServeClient],
        group: ProcessGroup,
    ) -> None:
        """Take the models of each replica, and how to make a client for an address."""
        self.of: dict[str, ModelReplicas] = {model: ModelReplicas() for model in models}
        self.on_exchange: list[Callable[[], None]] = []
        self._models = models
        self._connect = connect
        self._group = group
        self._replicas: dict[str, Replica] = {}
        self._leaving: list[Replica] = []

    @property
    def all(self) -> Sequence[Replica]:
        return tuple(self._replicas.values())

    def has_other(self, model: str, name: str) -> bool:
        """Return whether a model's images are taken beside the replica of this name."""
        return self.of[model].has_other(name)

    def alive_count(self) -> int:
        """Return how many replicas take images of any model."""
        return max(each.alive_count() for each in self.of.values())

    def shown(self) -> Iterator[ShownReplica]:
        """Describe each model at each replica for the metrics."""
        for model in self.of.values():
            yield from (each.shown() for each in model.all)

    async def replace(self, addresses: Iterable[InferenceAddress]) -> None:
        """Have a replica for each address, and no other; the first MAX_REPLICAS count."""
        present = {each.replica_name: each for each in list(addresses)[:MAX_REPLICAS]}
        if present.keys() != self._replicas.keys():
            self._leaving += [r for name, r in self._replicas.items() if name not in present]
            self._log_changes(present.keys())
            self._free_slots(present.keys())
            self._replicas = {
                name: self._replicas.get(name) or self._returned(name) or self._new(address)
                for name, address in present.items()
            }
            self._publish()
        await self._close_unused()

    async def close(self) -> None:
        for replica in (*self._replicas.values(), *self._leaving):
            await replica.client.close()

    def _new(self, address: InferenceAddress) -> Replica:
        client = self._connect(address)
        return Replica(address, client, self._models, self._group, self._changed)

    def _returned(self, name: str) -> Replica | None:
        """Return a replica that was removed and still has images."""
        found = next((each for each in self._leaving if each.name == name), None)
        if found is not None:
            self._leaving.remove(found)
        return found

    def _changed(self, model: str) -> Callable[[], None]:
        return partial(self._notify, model)

    def _notify(self, model: str) -> None:
        self.of[model].changed()

    def _publish(self) -> None:
        for model, replicas in self.of.items():
            replicas.all = tuple(each.models[model] for each in self._replicas.values())
            replicas.changed()
        for notify in self.on_exchange:
            notify()

    def _log_changes(self, present: Iterable[str]) -> None:
        names = set(present)
        for name in sorted(names - self._replicas.keys()):
            logger.info("replica %s: found, and used once its models answer", name)
        for name in sorted(self._replicas.keys() - names):
            logger.info("replica %s: no longer named, and sent nothing more", name)

    def _free_slots(self, present: Iterable[str]) -> None:
        leaving = {each.name for each in self._leaving}
        self._group.replicas.keep({tag_of(name) for name in {*present, *leaving}})

    async def _close_unused(self) -> None:
        """Close the clients of removed replicas that have answered what they had."""
        for replica in [each for each in self._leaving if each.is_empty]:
            self._leaving.remove(replica)
            await replica.client.close()
