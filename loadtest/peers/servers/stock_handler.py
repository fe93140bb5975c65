"""A TorchServe handler as its documentation shows it: a batch in, a list of answers out.

Packed into an archive by `on_torchserve`; an exception fails the batch.
"""

from typing import Any

from loadtest.peers.servers.photo_work import PNG, work_for
from loadtest.peers.servers.setup import Setup


class StockHandler:
    """The only class of this module, as TorchServe's loader requires."""

    def initialize(self, context: Any) -> None:
        """Load the model; `context` is TorchServe's."""
        self.manifest = context.manifest
        self._work = work_for(Setup.read())

    def handle(self, data: list[dict[str, bytearray]], context: Any) -> list[bytes]:
        """Answer a batch: one mapping per request, the photo under `body`."""
        masks = self._work.answer([row.get("data") or row["body"] for row in data])
        for index in range(len(masks)):
            context.set_response_content_type(index, PNG)
        return masks
