"""Who takes part: each server, how it is started, and the ways in which it serves mixed sizes."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from loadtest.benchmark.strategies import ONE_BY_ONE, OURS, PAD_TO_LARGEST
from loadtest.peers.servers.setup import PLAIN
from loadtest.peers.servers.triton_answer import RAW_REQUEST, read_element
from loadtest.traffic.concurrent_clients import Read, read_png

OCTETS = "application/octet-stream"
JPEG = "image/jpeg"
OUR_NAME = "fcnserve"
# what was best for each (`loadtest.peers.tuning`)
WAIT_MS = 5
PADDED_PHOTOS = 4
HANDED_OVER = 8


@dataclass(frozen=True, slots=True)
class Peer:
    """A server in an environment of its own, `build/peers/NAME`."""

    name: str
    package: str  # whose version is told
    path: str
    media_type: str = JPEG
    headers: Mapping[str, str] = field(default_factory=dict)
    read: Read = read_png
    environment: Mapping[str, str] = field(default_factory=dict)  # what makes it fast
    batches: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A row: a server, and how it serves."""

    peer: Peer
    grouping: str
    processes: int = 2
    batch: int = 1
    wait_ms: int = 0
    threads: int = 1  # of each process

    @property
    def name(self) -> str:
        return f"{self.peer.name}: {self.grouping}"

    def taking(self, batch: int) -> "Entry":
        """Have it take so many photos at a time; one alone waits for no others."""
        return replace(self, batch=batch, wait_ms=WAIT_MS if batch > 1 else 0)

    def told(self) -> dict[str, int]:
        """Say how it was set up; ours sets itself up."""
        if self.peer is OURSELVES:
            return {}
        return {
            "processes": self.processes,
            "threads": self.threads,
            "batch": self.batch,
            "wait_ms": self.wait_ms,
        }


OURSELVES = Peer(OUR_NAME, OUR_NAME, "/v1/segment")
FASTAPI = Peer("fastapi", "fastapi", "/segment", batches=False)
LITSERVE = Peer("litserve", "litserve", "/segment")
MOSEC = Peer("mosec", "mosec", "/inference", OCTETS)
BENTOML = Peer("bentoml", "bentoml", "/segment")
RAY = Peer(
    "ray",
    "ray",
    "/segment",
    environment={"RAY_SERVE_ENABLE_HA_PROXY": "1", "RAY_SERVE_THROUGHPUT_OPTIMIZED": "1"},
)
TRITON = Peer(
    "triton", "nvidia-pytriton", "/v2/models/segment/infer", OCTETS, RAW_REQUEST, read_element
)
TORCHSERVE = Peer("torchserve", "torchserve", "/predictions/segment", OCTETS)
PEERS: Sequence[Peer] = (FASTAPI, LITSERVE, MOSEC, BENTOML, RAY, TRITON, TORCHSERVE)


def both(peer: Peer, *, alone: int = 1) -> tuple[Entry, Entry]:
    """Take a server in the two ways that it serves mixed sizes: photos run one by one, `alone` of
    them handed over at a time; or share a pass by padding.
    """
    return (
        Entry(peer, ONE_BY_ONE).taking(alone),
        Entry(peer, PAD_TO_LARGEST).taking(PADDED_PHOTOS),
    )


ENTRIES: Sequence[Entry] = (
    Entry(OURSELVES, OURS),
    Entry(FASTAPI, ONE_BY_ONE),
    *both(LITSERVE),
    *both(MOSEC),
    *both(BENTOML),
    *both(RAY, alone=HANDED_OVER),
    *both(TRITON, alone=HANDED_OVER),
    *both(TORCHSERVE, alone=HANDED_OVER),
    Entry(MOSEC, PLAIN),
    Entry(TORCHSERVE, PLAIN),
)
