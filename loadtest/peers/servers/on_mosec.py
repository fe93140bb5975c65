"""mosec: its batching by `max_batch_size` and `max_wait_time`, a few workers of one stage."""

import sys

from mosec import Server, Worker

from loadtest.peers.servers.photo_work import PNG, work_for
from loadtest.peers.servers.setup import Setup

SHORTEST_WAIT_MS = 1


class Segment(Worker):
    """Bytes in, bytes out."""

    resp_mime_type = PNG

    def __init__(self) -> None:
        super().__init__()
        self._work = work_for(Setup.read())

    def deserialize(self, data: bytes) -> bytes:
        return bytes(data)

    def serialize(self, data: bytes) -> bytes:
        return data

    def forward(self, data: bytes | list[bytes]) -> bytes | list[bytes]:
        """Answer a batch, or a single photo where batching is off."""
        return self._work.answer(data) if isinstance(data, list) else self._work.answer([data])[0]


if __name__ == "__main__":
    setup = Setup.read()
    sys.argv[1:] = ["--port", str(setup.port), "--address", "127.0.0.1", "--timeout", "120000"]
    server = Server()
    server.append_worker(
        Segment,
        num=setup.processes,
        max_batch_size=setup.batch,
        max_wait_time=max(SHORTEST_WAIT_MS, setup.wait_ms),
        timeout=120,
    )
    server.run()
