"""LitServe: its batching by `max_batch_size` and `batch_timeout`, a few workers on the CPU."""

from typing import Annotated

import litserve
from fastapi import Body, Response

from loadtest.peers.servers.photo_work import PNG, work_for
from loadtest.peers.servers.setup import Setup


class SegmentAPI(litserve.LitAPI):
    """Bytes in, bytes out; the annotations make LitServe pass the body unchanged."""

    def setup(self, device: str) -> None:  # noqa: ARG002 - LitServe's signature
        self._work = work_for(Setup.read())

    def decode_request(self, request: Annotated[bytes, Body()]) -> bytes:
        return request

    def batch(self, inputs: list[bytes]) -> list[bytes]:
        return inputs

    def unbatch(self, output: list[bytes]) -> list[bytes]:
        return output

    def predict(self, x: bytes | list[bytes]) -> bytes | list[bytes]:
        """Answer a batch, or a single photo where batching is off."""
        return self._work.answer(x) if isinstance(x, list) else self._work.answer([x])[0]

    def encode_response(self, output: bytes) -> Response:
        return Response(output, media_type=PNG)


if __name__ == "__main__":
    setup = Setup.read()
    api = SegmentAPI(
        max_batch_size=setup.batch, batch_timeout=setup.wait_ms / 1000, api_path="/segment"
    )
    server = litserve.LitServer(
        api, accelerator="cpu", workers_per_device=setup.processes, timeout=120
    )
    server.run(port=setup.port, num_api_servers=1, generate_client_file=False, log_level="warning")
