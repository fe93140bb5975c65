"""What every server does with photos: JPEGs in, PNGs out, by this project's own stages.

Same codecs, weights, precision and memory settings as in our worker; only the serving around it
differs. Called by the `on_*.py` files, inside their own environments. `PLAIN` entries have
`loadtest.peers.servers.plain_work` in its place.
"""

from collections.abc import Sequence
from pathlib import Path

from handlers.job import Job
from handlers.model_config import load_config
from handlers.runtime.device import choose_device
from handlers.runtime.network import Network
from loadtest.benchmark.strategies import GROUPINGS, PhotoLoop, networks_of
from loadtest.peers.servers.plain_work import PlainWork
from loadtest.peers.servers.setup import PLAIN, Setup

PNG = "image/png"


def work_for(setup: Setup) -> "PhotoWork | PlainWork":
    """Load the model as a server is told to run it."""
    return PlainWork(setup) if setup.grouping == PLAIN else PhotoWork(setup)


class PhotoWork:
    """A loaded model; a server makes one in each of its processes."""

    def __init__(self, setup: Setup) -> None:
        folder = Path(setup.model)
        config = load_config(folder)
        network = Network(config, folder, choose_device(None, config.precision))
        grouping = setup.grouping
        self._loop = PhotoLoop(networks_of(network)[grouping], config, GROUPINGS[grouping])

    def answer(self, bodies: Sequence[bytes | bytearray]) -> list[bytes]:
        """Segment a batch of JPEGs, in order; one that cannot be read fails them all."""
        return [answer.body for answer in self._loop.run([Job(body) for body in bodies])]
