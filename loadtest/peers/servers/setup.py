"""What a server is started with: a `Setup` in, environment variables out, and back again inside.

The one file that both sides share: it imports nothing but the standard library.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

PREFIX = "PEER_"
# one by one, by PyTorch and Pillow as they are: `loadtest.peers.servers.plain_work`
PLAIN = "one by one, plain PyTorch"


@dataclass(frozen=True, slots=True)
class Setup:
    """How a server serves; a `batch` of one is its batching turned off."""

    model: str  # folder
    port: int
    grouping: (
        str  # see `loadtest.benchmark.strategies`: which photos of a batch share a pass; or PLAIN
    )
    processes: int
    batch: int
    wait_ms: int

    def environment(self) -> dict[str, str]:
        return {f"{PREFIX}{name.upper()}": str(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Setup":
        """Take what `environment` has written; raises KeyError."""
        told = {field.name: environment[f"{PREFIX}{field.name.upper()}"] for field in fields(cls)}
        return cls(
            told["model"],
            int(told["port"]),
            told["grouping"],
            int(told["processes"]),
            int(told["batch"]),
            int(told["wait_ms"]),
        )
