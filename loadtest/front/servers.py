"""The servers of the comparison: a name in, a running server with its processes by role out.

Ours is started by `loadtest.measure.service` from the null archive, the others by
`loadtest.peers.server`. Called by `loadtest.front.turns`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from loadtest.front.archive import pack_null
from loadtest.front.data import FrontData
from loadtest.measure.service import GATEWAY, JAVA, TORCHSERVE, RunningService, start_store
from loadtest.measure.usage import process_name
from loadtest.peers.catalogue import LITSERVE, MOSEC, PHOTOS_AT_A_TIME, Entry
from loadtest.peers.catalogue import TORCHSERVE as STOCK
from loadtest.peers.server import start_server
from loadtest.peers.servers.setup import NULL
from loadtest.traffic.concurrent_clients import Endpoint

OURS, NO_GATEWAY = "ours", "ours, no gateway"
FRONT, WORKERS = "front", "workers"
ROLES = {"java": JAVA, "mosec": FRONT}  # by the name of a process; all others are workers
OTHERS: Mapping[str, Entry] = {
    "torchserve": Entry(STOCK, NULL).with_batch(PHOTOS_AT_A_TIME),
    "mosec": Entry(MOSEC, NULL),
    "litserve": Entry(LITSERVE, NULL),
}
NAMES = (OURS, *OTHERS)


@dataclass(frozen=True, slots=True)
class FrontServer:
    """A running server under one name of the table."""

    name: str
    endpoint: Endpoint
    pids: Callable[[], Mapping[str, Sequence[int]]]  # by role


@contextmanager
def start(
    name: str, data: FrontData, settings: Mapping[str, str]
) -> Iterator[Sequence[FrontServer]]:
    """Start the server of a name until the block is left; ours is two, with and without gateway.

    `settings` are ours alone. Raises NotReadyError.
    """
    if name == OURS:
        with start_ours(data, settings) as service:
            yield [
                FrontServer(row, service.endpoints[level], lambda: service.pids)
                for row, level in ((OURS, GATEWAY), (NO_GATEWAY, TORCHSERVE))
            ]
        return
    with start_server(OTHERS[name], data.folder, data.photos[0]) as server:
        yield [FrontServer(name, server.endpoint, lambda: by_role(server.pids()))]


@contextmanager
def start_ours(data: FrontData, settings: Mapping[str, str]) -> Iterator[RunningService]:
    """Serve the null archive from a store that holds nothing else."""
    with TemporaryDirectory(prefix="fcnserve-front-", dir="/tmp") as store:
        model = pack_null(data.folder, Path(store))
        with start_store(Path(store), model, settings) as service:
            yield service


def by_role(pids: Sequence[int]) -> dict[str, list[int]]:
    """Group processes by what their names say; those that have just ended are left out."""
    found: dict[str, list[int]] = {}
    for pid in pids:
        if name := process_name(pid):
            found.setdefault(ROLES.get(name, WORKERS), []).append(pid)
    return found
