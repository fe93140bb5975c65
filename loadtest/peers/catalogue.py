"""The servers that are compared: how each is started, and its methods for photos of mixed sizes.

Called by the other modules of this room.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from loadtest.benchmark.strategies import ONE_BY_ONE, OURS, PAD_TO_LARGEST
from loadtest.peers.servers.setup import PLAIN
from loadtest.peers.servers.triton_answer import RAW_REQUEST, read_element
from loadtest.traffic.concurrent_clients import ReadMask, read_png

OCTETS = "application/octet-stream"
JPEG = "image/jpeg"
OUR_NAME = "fcnserve"
# the best of each server (`loadtest.peers.tuning`)
WAIT_MS = 5
PADDED_PHOTOS = 4
PHOTOS_AT_A_TIME = 8


@dataclass(frozen=True, slots=True)
class Peer:
    """A server in an environment of its own, `build/peers/NAME`."""

    name: str
    package: str  # its version is in the report
    path: str
    media_type: str = JPEG
    headers: Mapping[str, str] = field(default_factory=dict)
    read_mask: ReadMask = read_png
    environment: Mapping[str, str] = field(
        default_factory=dict
    )  # its documented settings for speed
    can_batch: bool = True


@dataclass(frozen=True, slots=True)
class Entry:
    """A row of the table: a server with one configuration."""

    peer: Peer
    grouping: str
    processes: int = 2
    batch: int = 1
    wait_ms: int = 0
    threads: int = 1  # of each process

    @property
    def name(self) -> str:
        return f"{self.peer.name}: {self.grouping}"

    def with_batch(self, batch: int) -> "Entry":
        """Return the entry with another batch size; a batch of one has no wait."""
        return replace(self, batch=batch, wait_ms=WAIT_MS if batch > 1 else 0)

    def configuration(self) -> dict[str, int]:
        """Return the configuration for the report; empty for ours, which configures itself."""
        if self.peer is OURSELVES:
            return {}
        return {
            "processes": self.processes,
            "threads": self.threads,
            "batch": self.batch,
            "wait_ms": self.wait_ms,
        }


OURSELVES = Peer(OUR_NAME, OUR_NAME, "/v1/segment")
FASTAPI = Peer("fastapi", "fastapi", "/segment", can_batch=False)
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


def both(peer: Peer, *, batch: int = 1) -> tuple[Entry, Entry]:
    """Return a server's two entries: photos run one by one, taken in batches of `batch`; or they
    share a pass by padding.
    """
    return (
        Entry(peer, ONE_BY_ONE).with_batch(batch),
        Entry(peer, PAD_TO_LARGEST).with_batch(PADDED_PHOTOS),
    )


ENTRIES: Sequence[Entry] = (
    Entry(OURSELVES, OURS),
    Entry(FASTAPI, ONE_BY_ONE),
    *both(LITSERVE),
    *both(MOSEC),
    *both(BENTOML),
    *both(RAY, batch=PHOTOS_AT_A_TIME),
    *both(TRITON, batch=PHOTOS_AT_A_TIME),
    *both(TORCHSERVE, batch=PHOTOS_AT_A_TIME),
    Entry(MOSEC, PLAIN),
    Entry(TORCHSERVE, PLAIN),
)
