"""The work of a server without a network: JPEGs in, PNGs of ready-made label maps out.

Decoding and encoding are this project's own, as in `loadtest.peers.servers.photo_work`; the labels
are looked up by the photo's size. Called by `loadtest.peers.servers.photo_work`.
"""

from collections.abc import Sequence
from pathlib import Path

from handlers.model_config import load_config
from handlers.shared import photo
from handlers.shared.png import write_indexed
from loadtest.peers.servers.setup import Setup
from loadtest.traffic.label_maps import read_label_maps


class NullWork:
    """Label maps in place of a model."""

    def __init__(self, setup: Setup) -> None:
        config = load_config(Path(setup.model))
        self._maps = read_label_maps(Path(setup.model, config.weights))
        self._palette = config.palette_bytes
        self._working_max_side = config.working_max_side

    def answer(self, bodies: Sequence[bytes | bytearray]) -> list[bytes]:
        """Answer JPEGs, one after the other; raises ProblemError and KeyError."""
        return [self._answer(body) for body in bodies]

    def _answer(self, body: bytes | bytearray) -> bytes:
        header = photo.read_header(body)
        size = header.size("exif")
        photo.reduce(photo.decode(body, header), photo.fit(*size, self._working_max_side))
        return write_indexed(self._maps[size], self._palette)
