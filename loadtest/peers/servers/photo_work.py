"""The work of every server: JPEGs in, PNGs out, by this project's own stages.

Codecs, weights, precision and memory settings are those of our worker; only the server around them
differs. Called by the `on_*.py` files, in their own environments. `PLAIN` and `NULL` entries use
`loadtest.peers.servers.plain_work` and `loadtest.peers.servers.null_work` instead.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from handlers.job import Job
from handlers.model_config import load_config
from handlers.runtime.device import choose_device
from handlers.runtime.network_cpu import CpuNetwork
from loadtest.benchmark.strategies import GROUPINGS, PhotoLoop, networks_of
from loadtest.peers.servers.null_work import NullWork
from loadtest.peers.servers.plain_work import PlainWork
from loadtest.peers.servers.setup import NULL, PLAIN, Setup

PNG = "image/png"


class Work(Protocol):
    """What a server does with photos."""

    def answer(self, bodies: Sequence[bytes | bytearray]) -> list[bytes]:
        """Segment a batch of JPEGs, in order."""


def work_for(setup: Setup) -> Work:
    """Load what a server's setup asks for."""
    others: dict[str, type[PlainWork | NullWork]] = {PLAIN: PlainWork, NULL: NullWork}
    return others.get(setup.grouping, PhotoWork)(setup)


class PhotoWork:
    """A loaded model; a server has one in each of its processes."""

    def __init__(self, setup: Setup) -> None:
        folder = Path(setup.model)
        config = load_config(folder)
        network = CpuNetwork(config, folder, choose_device(None, config.precision))
        grouping = setup.grouping
        self._loop = PhotoLoop(networks_of(network)[grouping], config, GROUPINGS[grouping])

    def answer(self, bodies: Sequence[bytes | bytearray]) -> list[bytes]:
        """Segment a batch of JPEGs, in order; one that cannot be read fails the batch."""
        return [answer.body for answer in self._loop.run([Job(body) for body in bodies])]
