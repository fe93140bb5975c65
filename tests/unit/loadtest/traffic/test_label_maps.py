"""Label maps survive the way to disk and back."""

from pathlib import Path

import numpy as np

from loadtest.traffic.label_maps import read_label_maps, write_label_maps


def test_maps_are_found_by_their_size(tmp_path: Path) -> None:
    labels = np.arange(6, dtype=np.uint8).reshape(2, 3)
    write_label_maps(tmp_path / "maps.npz", {(2, 3): labels, (3, 2): labels.T})
    maps = read_label_maps(tmp_path / "maps.npz")
    assert maps.keys() == {(2, 3), (3, 2)}
    assert np.array_equal(maps[2, 3], labels)
    assert np.array_equal(maps[3, 2], labels.T)
