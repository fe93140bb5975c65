"""A server's setup: a `Setup` in, environment variables out, and the reverse in the server.

Imported by `loadtest.peers.server` and by the servers in their own environments, so it imports the
standard library alone.
"""

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields

PREFIX = "PEER_"
# one by one, by PyTorch and Pillow as they are: `loadtest.peers.servers.plain_work`
PLAIN = "one by one, plain PyTorch"
# ready-made label maps: `loadtest.peers.servers.null_work`
NULL = "no network"


@dataclass(frozen=True, slots=True)
class Setup:
    """The configuration of a server; a `batch` of one turns its batching off."""

    model: str  # folder
    port: int
    # see `loadtest.benchmark.strategies`: which photos of a batch share a pass; or PLAIN, or NULL
    grouping: str
    processes: int
    batch: int
    wait_ms: int

    def environment(self) -> dict[str, str]:
        return {f"{PREFIX}{name.upper()}": str(value) for name, value in asdict(self).items()}

    @classmethod
    def read(cls, environment: Mapping[str, str] = os.environ) -> "Setup":
        """Read the variables that `environment` writes; raises KeyError."""
        values = {field.name: environment[f"{PREFIX}{field.name.upper()}"] for field in fields(cls)}
        return cls(
            values["model"],
            int(values["port"]),
            values["grouping"],
            int(values["processes"]),
            int(values["batch"]),
            int(values["wait_ms"]),
        )
