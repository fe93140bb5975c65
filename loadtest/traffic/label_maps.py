"""Ready-made label maps on disk: by the photo's (height, width), one each.

Written by `loadtest.front.data`; read by the workers of every server that has no network:
`loadtest.front.null_network` and `loadtest.peers.servers.null_work`.
"""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

Size = tuple[int, int]  # (height, width)
LabelMap = NDArray[np.uint8]  # (height, width)


def write_label_maps(path: Path, maps: Mapping[Size, LabelMap]) -> None:
    named = {f"{height}x{width}": labels for (height, width), labels in maps.items()}
    with path.open("wb") as file:  # given a name, numpy would add a suffix
        np.savez_compressed(file, allow_pickle=False, **named)


def read_label_maps(path: Path) -> dict[Size, LabelMap]:
    """Read all maps; raises OSError."""
    with np.load(path) as file:
        maps = [file[name] for name in file.files]
    return {(labels.shape[0], labels.shape[1]): labels for labels in maps}
